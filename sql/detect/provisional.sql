-- The windows of a detector's alerts that no seal has judged, since a moment.
SELECT DISTINCT window_start
FROM alerts FINAL
WHERE detector = %(detector)s AND stream = %(stream)s AND state = 'provisional'
    AND window_start >= toDateTime(%(since)s, 'UTC')
