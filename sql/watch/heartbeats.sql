-- The generations of a stream that wrote heartbeats since a moment, oldest first: when each began, first said running,
-- last had nothing to fold (0 where never), and last spoke. Times are epoch milliseconds; a driver that has not claimed
-- yet writes generation 0.
SELECT
    generation,
    min(at) AS began,
    minIf(at, state = 'running') AS running,
    maxIf(at, state = 'running' AND lag = 0) AS idle,
    max(at) AS spoke
FROM heartbeats
WHERE stream = %(stream)s AND day >= %(day)s AND at >= %(since)s
GROUP BY generation
ORDER BY generation
