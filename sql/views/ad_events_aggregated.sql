-- Advertising events by minute, event type, country and format: the sealed figures of an hour under the certificate in
-- force, plus the deltas of valid batches that came after it. certificates is read once, on purpose: two reads of one
-- statement may see different states. status is provisional while a delta stands beside or instead of the seal.
CREATE VIEW ad_events_aggregated AS
SELECT
    window_start,
    toDateTime(window_start + 60, 'UTC') AS window_end,
    event_type,
    country,
    ad_format,
    sum(n) AS event_count,
    toDecimal128(sum(micros), 10) / 1000000 / sum(n) AS avg_revenue,
    toDecimal128(sum(micros), 6) / 1000000 AS total_revenue,
    if(min(is_sealed) = 1, 'sealed', 'provisional') AS status
FROM (
    SELECT window_start, event_type, country, ad_format, n, micros, is_sealed
    FROM (
        SELECT toStartOfHour(window_start) AS hour, window_start, event_type, country, ad_format,
            event_count AS n, revenue AS micros, frontier AS position, seal AS seal_number, toUInt8(1) AS is_sealed
        FROM ad_events_sealed FINAL
        UNION ALL
        SELECT hour, window_start, event_type, country, ad_format,
            n, micros, batch AS position, toUInt64(0) AS seal_number, toUInt8(0) AS is_sealed
        FROM (
            SELECT toStartOfHour(window_start) AS hour, window_start, event_type, country, ad_format,
                event_count AS n, revenue AS micros, batch, bitShiftRight(batch, 40) AS generation
            FROM ad_events_delta FINAL
        ) AS d
        ANY LEFT JOIN (
            SELECT generation, upto
            FROM (
                SELECT keep_gen, keep_upto FROM takeovers WHERE stream = 'ad_events' ORDER BY generation DESC LIMIT 1
            )
            ARRAY JOIN keep_gen AS generation, keep_upto AS upto
        ) AS t USING (generation)
        WHERE batch <= upto
    ) AS u
    ANY LEFT JOIN (
        SELECT hour, frontier AS certified_frontier, seal AS certified_seal
        FROM certificates
        WHERE stream = 'ad_events'
        ORDER BY hour, frontier DESC, seal DESC
        LIMIT 1 BY hour
    ) AS c USING (hour)
    WHERE n > 0 AND (
        (is_sealed = 1 AND position = certified_frontier AND seal_number = certified_seal)
        OR (is_sealed = 0 AND position > certified_frontier)
    )
)
GROUP BY window_start, event_type, country, ad_format
