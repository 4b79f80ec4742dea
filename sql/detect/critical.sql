-- The critical alerts that were first found or judged since a moment, in epoch milliseconds, each in its newest state.
SELECT detector, stream, window_start, window_end, subject, severity, state, evidence, fired_ms, judged_ms
FROM alerts FINAL
WHERE severity = 'critical' AND (fired_ms >= %(since_ms)s OR judged_ms >= %(since_ms)s)
ORDER BY detector, stream, subject, window_start
