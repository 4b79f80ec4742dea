-- For each partition of a stream, the latest Kafka time that its ledger read, epoch milliseconds.
SELECT partition, max(kafka_time_max) AS latest
FROM ledger
WHERE stream = %(stream)s AND batch <= transform(bitShiftRight(batch, 40), %(generations)s, %(limits)s, toUInt64(0))
GROUP BY partition
