-- The traffic generator's own account of what it sent, made by nothing of the pipeline: the truth to compare with.

CREATE TABLE IF NOT EXISTS traffic_runs (
    run String,
    stream String,
    seed UInt64,
    started_at DateTime('UTC'),
    first_event DateTime('UTC'),
    seconds Float64,
    sent UInt64,
    accepted UInt64,
    rejected UInt64,
    late UInt64,
    duplicates UInt64,
    parameters String
) ENGINE = ReplacingMergeTree() ORDER BY (stream, run);

-- figures is JSON: measure -> exact integer at the contract's scale; once counts each identity once, came as sent.
CREATE TABLE IF NOT EXISTS traffic_truth (
    run String,
    stream String,
    cube String,
    window_start DateTime('UTC'),
    dimensions String,
    once String,
    came String
) ENGINE = ReplacingMergeTree() ORDER BY (stream, run, cube, window_start, dimensions);

-- Live traffic only: when each acceptable event was handed to the producer, epoch milliseconds.
CREATE TABLE IF NOT EXISTS traffic_sends (
    run String,
    stream String,
    sent_at Int64
) ENGINE = MergeTree() ORDER BY (stream, run, sent_at);
