-- What watch_stream saw of each stream, and the incidents that people were told of.

-- One row for each check and stream. verdict: healthy, slow, stalled, gone, doubled, stopped. action: none, relaunch,
-- end_older, gave_up. Times are epoch milliseconds, ages and freshness seconds, lag and ends offsets; an age is null
-- where nothing is known. frontiers and ends belong to the Kafka partitions beside them. mismatches names event hours,
-- cubes and batches whose served deltas differ from the ledger; broken is what did not answer.
CREATE TABLE IF NOT EXISTS stream_checks (
    stream String,
    at Int64,
    day Date,
    verdict String,
    reason String,
    action String,
    wanted UInt8,
    generation UInt64,
    batch UInt64,
    drivers Array(String),
    applications UInt32,
    heartbeat_seconds Nullable(Float64),
    commit_seconds Nullable(Float64),
    waiting_seconds Nullable(Float64),
    freshness_seconds Nullable(Float64),
    lag Nullable(UInt64),
    partitions Array(UInt32),
    frontiers Array(UInt64),
    ends Array(UInt64),
    restarts UInt32,
    relaunches UInt32,
    mismatches Array(String),
    broken String
) ENGINE = MergeTree() PARTITION BY toYYYYMMDD(day) ORDER BY (stream, at);

-- Append-only. event: opened, told (through the notifier named), closed. An incident is known by key and opened_at and
-- is open until a row says closed. at and opened_at are epoch milliseconds; severity is critical or warning.
CREATE TABLE IF NOT EXISTS incidents (
    key String,
    opened_at Int64,
    at Int64,
    event String,
    notifier String,
    stream String,
    severity String,
    title String,
    message String
) ENGINE = MergeTree() ORDER BY (key, opened_at, at);
