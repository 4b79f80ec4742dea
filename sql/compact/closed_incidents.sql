-- Incidents that were closed long ago; `at` is epoch milliseconds.
SELECT DISTINCT key, opened_at FROM incidents WHERE event = 'closed' AND at < %(at)s
