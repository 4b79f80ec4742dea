-- The certificate in force of each hour of a stream.
SELECT hour, frontier, seal, verdict, offsets, windows, certified_at
FROM certificates
WHERE stream = %(stream)s
ORDER BY hour, frontier DESC, seal DESC
LIMIT 1 BY hour
