-- The newest error of each detector since a moment, in epoch milliseconds; empty where its newest check has none.
SELECT detector, stream, argMax(error, at) AS newest
FROM detector_checks
WHERE day >= toDate(intDiv(%(since_ms)s, 1000)) AND at >= %(since_ms)s
GROUP BY detector, stream
