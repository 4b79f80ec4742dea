-- What each user did, numbered in the order of event time.
SELECT user_id, action, row_number() OVER (PARTITION BY user_id ORDER BY event_time) AS step
FROM events
