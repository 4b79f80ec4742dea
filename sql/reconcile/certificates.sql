-- The certificate in force of each hour of a stream.
SELECT hour, frontier, seal, digest
FROM certificates
WHERE stream = %(stream)s AND hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC')
ORDER BY hour, frontier DESC, seal DESC
LIMIT 1 BY hour
