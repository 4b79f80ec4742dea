-- Accepted events by batch and event hour, of the batches that a stream committed since a moment (epoch seconds).
SELECT batch, toUInt32(hour) AS event_hour, sum(events) AS accepted
FROM (
    SELECT batch, partition, any(hours) AS of_hours, any(hour_events) AS of_events
    FROM ledger
    WHERE stream = %(stream)s AND committed_at >= toDateTime(%(since)s, 'UTC')
    GROUP BY batch, partition
)
ARRAY JOIN of_hours AS hour, of_events AS events
GROUP BY batch, hour
