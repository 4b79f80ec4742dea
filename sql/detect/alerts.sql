-- The alerts of a detector on windows that begin in [from, to), each in its newest state.
SELECT detector, stream, window_start, window_end, subject, severity, state, evidence, fired_ms, judged_ms
FROM alerts FINAL
WHERE detector = %(detector)s AND stream = %(stream)s
    AND window_start >= toDateTime(%(from)s, 'UTC') AND window_start < toDateTime(%(to)s, 'UTC')
