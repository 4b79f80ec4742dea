-- Offsets [low, high) of valid ledger rows that hold records of one hour, up to a batch: those whose records arrived in
-- the hour as a whole, of others from the first to the last event of the hour.
SELECT
    partition,
    if(arrived, greatest(start_offset, lost_to), hour_first[place]) AS low,
    if(arrived, end_offset, hour_last[place] + 1) AS high
FROM (
    SELECT
        partition, start_offset, lost_to, end_offset, hour_first, hour_last, batch,
        indexOf(hours, toDateTime(%(from)s, 'UTC')) AS place,
        end_offset - start_offset > non_records AND kafka_time_min < %(to_ms)s AND kafka_time_max >= %(from_ms)s AS arrived,
        bitShiftRight(batch, 40) AS generation
    FROM ledger FINAL
    WHERE stream = %(stream)s AND batch <= %(frontier)s
) AS l
ANY LEFT JOIN (
    SELECT generation, upto
    FROM (
        SELECT keep_gen, keep_upto FROM takeovers WHERE stream = %(stream)s ORDER BY generation DESC LIMIT 1
    )
    ARRAY JOIN keep_gen AS generation, keep_upto AS upto
) AS t USING (generation)
WHERE batch <= upto AND (place > 0 OR arrived) AND low < high
ORDER BY partition, low
