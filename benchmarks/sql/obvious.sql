-- The table of the obvious job: one row for each window and dimensions, the last update counts.
CREATE TABLE obvious (
    window_start DateTime('UTC'),
    event_type String,
    country String,
    ad_format String,
    batch UInt64,
    event_count UInt64,
    total_revenue Float64,
    avg_revenue Float64
) ENGINE = ReplacingMergeTree(batch) PARTITION BY toYYYYMMDD(window_start)
ORDER BY (window_start, event_type, country, ad_format)
