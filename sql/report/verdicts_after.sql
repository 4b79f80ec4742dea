-- The verdicts on an hour since a seal, oldest first, and why.
SELECT verdict, reason
FROM verdicts
WHERE stream = %(stream)s AND hour = toDateTime(%(hour)s, 'UTC') AND seal > %(seal)s
ORDER BY judged_ms
