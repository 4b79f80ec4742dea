-- The critical alerts that were first found or judged since a moment, in epoch milliseconds, each in its newest state.
-- Only the months that were written to since then are read. It loses nothing, however old a window is that a late event
-- or a new seal has judged: the row is in a part that was written after it was made, merged or not. The minute is for
-- clocks that differ.
SELECT detector, stream, window_start, window_end, subject, severity, state, evidence, fired_ms, judged_ms
FROM alerts FINAL
WHERE toYYYYMM(window_start) IN (
        SELECT toUInt32(partition)
        FROM system.parts
        WHERE database = currentDatabase() AND table = 'alerts' AND active
            AND modification_time >= toDateTime(intDiv(%(since_ms)s, 1000) - 60)
    )
    AND severity = 'critical' AND (fired_ms >= %(since_ms)s OR judged_ms >= %(since_ms)s)
ORDER BY detector, stream, subject, window_start
