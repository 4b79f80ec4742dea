-- Those of some keys whose incidents are not closed; the table is ordered by key.
SELECT DISTINCT key
FROM (
    SELECT key, opened_at
    FROM incidents
    WHERE key IN %(keys)s
    GROUP BY key, opened_at
    HAVING countIf(event = 'closed') = 0
)
