-- The certificate in force of each hour of a stream, and whether it was issued since a moment.
SELECT hour, frontier, seal, toUInt8(certified_at >= toDateTime(%(since)s, 'UTC')) AS is_recent
FROM certificates
WHERE stream = %(stream)s
ORDER BY hour, frontier DESC, seal DESC
LIMIT 1 BY hour
