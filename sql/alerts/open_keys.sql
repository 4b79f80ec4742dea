-- The keys of incidents that are not closed.
SELECT DISTINCT key
FROM (SELECT key, opened_at FROM incidents GROUP BY key, opened_at HAVING countIf(event = 'closed') = 0)
