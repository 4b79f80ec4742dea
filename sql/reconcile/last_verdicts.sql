-- The newest verdict of each hour of a stream.
SELECT hour, argMax(verdict, judged_ms) AS verdict
FROM verdicts
WHERE stream = %(stream)s
GROUP BY hour
