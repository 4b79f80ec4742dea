-- The hours of a stream into which the batches of the last seconds fell: of event time, and of arrival in Kafka. At
-- most two days ago: what is folded was committed before.
SELECT DISTINCT hour, by_arrival
FROM (
    SELECT arrayJoin(hours) AS hour, toUInt8(0) AS by_arrival
    FROM ledger
    WHERE stream = %(stream)s AND committed_at >= now() - %(seconds)s
        AND batch >= (SELECT max(high) FROM folded_stretches WHERE stream = %(stream)s)
    UNION ALL
    SELECT toStartOfHour(toDateTime(intDiv(arrayJoin([kafka_time_min, kafka_time_max]), 1000), 'UTC')) AS hour,
        toUInt8(1) AS by_arrival
    FROM ledger
    WHERE stream = %(stream)s AND committed_at >= now() - %(seconds)s
        AND batch >= (SELECT max(high) FROM folded_stretches WHERE stream = %(stream)s) AND kafka_time_max > 0
)
ORDER BY hour DESC
LIMIT 12
