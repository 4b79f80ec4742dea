-- The life of a driver: what it says of itself, and what it is asked.

-- Written every few seconds, idle or not. state: starting, running, stopping, stopped, fenced, failed.
-- lag is in offsets over all partitions; at is epoch milliseconds.
CREATE TABLE IF NOT EXISTS heartbeats (
    stream String,
    at Int64,
    day Date,
    launch String,
    generation UInt64,
    state String,
    batch UInt64,
    lag UInt64,
    detail String
) ENGINE = MergeTree() PARTITION BY toYYYYMMDD(day) ORDER BY (stream, at);

-- A driver of this generation or an earlier one commits its current batch and ends.
CREATE TABLE IF NOT EXISTS stop_requests (
    stream String,
    generation UInt64,
    requested_at DateTime('UTC')
) ENGINE = MergeTree() ORDER BY (stream, generation);
