-- The keys of incidents of one kind that are not closed.
-- An incident may stay open for any time, so no bound of time would do. The table is ordered by key: what is read is
-- the kind's own range of keys, which leaves out nothing that begins so.
SELECT DISTINCT key
FROM (
    SELECT key, opened_at
    FROM incidents
    WHERE key LIKE %(begins)s
    GROUP BY key, opened_at
    HAVING countIf(event = 'closed') = 0
)
