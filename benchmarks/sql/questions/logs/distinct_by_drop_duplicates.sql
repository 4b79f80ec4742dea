-- Exact users of each service: repeated users of a minute are dropped first.
SELECT minutes.start AS window_start, service, count(*) AS unique_users
FROM (
    SELECT DISTINCT window(event_time, '1 minute') AS minutes, service, user_id FROM events
)
GROUP BY minutes, service
