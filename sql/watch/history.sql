-- The checks of a stream since a moment, oldest first.
SELECT at, verdict, action, partitions, ends, broken
FROM stream_checks
WHERE stream = %(stream)s AND day >= %(day)s AND at >= %(since)s
ORDER BY at
