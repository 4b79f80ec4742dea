-- Exact users of each action: every user of a window is kept in the state.
SELECT window.start AS window_start, action, count(*) AS action_count, size(collect_set(user_id)) AS unique_users
FROM events
GROUP BY window(event_time, '2 minutes', '1 minute'), action
