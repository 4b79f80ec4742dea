-- When each acceptable event of the newest run was handed to the producer, epoch milliseconds; live runs only.
SELECT sent_at
FROM traffic_sends
WHERE run = (SELECT run FROM traffic_runs WHERE stream = %(stream)s ORDER BY started_at DESC, run LIMIT 1)
ORDER BY sent_at
