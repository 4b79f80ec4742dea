-- The newest 100 events.
SELECT event_time, user_id, action FROM events ORDER BY event_time DESC LIMIT 100
