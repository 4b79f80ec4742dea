-- Every incident about critical alerts since a moment, in epoch milliseconds, and whether it is closed.
SELECT key, max(event = 'closed') AS is_closed
FROM incidents
WHERE key LIKE 'alert:%%' AND opened_at >= %(since_ms)s
GROUP BY key, opened_at
ORDER BY key, opened_at
