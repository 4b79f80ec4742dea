-- The newest incident of a key: what it says, through which notifiers it was told, and whether it is closed.
SELECT
    opened_at,
    anyIf(stream, event = 'opened') AS of_stream,
    anyIf(severity, event = 'opened') AS of_severity,
    anyIf(title, event = 'opened') AS of_title,
    anyIf(message, event = 'opened') AS of_message,
    groupUniqArrayIf(notifier, event = 'told') AS told,
    countIf(event = 'closed') AS closed
FROM incidents
WHERE key = %(key)s
GROUP BY opened_at
ORDER BY opened_at DESC
LIMIT 1
