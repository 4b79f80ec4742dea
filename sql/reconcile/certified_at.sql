-- When each hour of a stream was certified last.
SELECT hour, max(certified_at) AS moment
FROM certificates
WHERE stream = %(stream)s
GROUP BY hour
