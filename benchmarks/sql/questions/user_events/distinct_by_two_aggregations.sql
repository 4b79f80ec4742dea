-- Exact users of each action: one row for each user first, then a count of the rows.
SELECT minutes.start AS window_start, action, sum(events) AS action_count, count(*) AS unique_users
FROM (
    SELECT window(event_time, '2 minutes', '1 minute') AS minutes, action, user_id, count(*) AS events
    FROM events
    GROUP BY window(event_time, '2 minutes', '1 minute'), action, user_id
)
GROUP BY minutes, action
