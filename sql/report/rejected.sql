-- Records of a stream that were rejected, by reason.
SELECT reason, uniqExact(partition, record_offset) AS records
FROM dead_letters
WHERE stream = %(stream)s
GROUP BY reason
ORDER BY reason
