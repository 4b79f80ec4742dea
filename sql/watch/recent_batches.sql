-- Events by batch and event hour, replayed dead letters included, of the batches that a stream committed since a moment
-- (epoch seconds), at most two days ago: what is folded was committed before.
SELECT batch, toUInt32(hour) AS event_hour, sum(events) AS accepted
FROM (
    SELECT
        batch, partition, arrayConcat(any(hours), any(replayed_hours)) AS of_hours,
        arrayConcat(any(hour_events), arrayMap(x -> toUInt64(1), any(replayed_hours))) AS of_events
    FROM ledger
    WHERE stream = %(stream)s AND committed_at >= toDateTime(%(since)s, 'UTC')
        AND batch >= (SELECT max(high) FROM folded_stretches WHERE stream = %(stream)s)
    GROUP BY batch, partition
)
ARRAY JOIN of_hours AS hour, of_events AS events
GROUP BY batch, hour
