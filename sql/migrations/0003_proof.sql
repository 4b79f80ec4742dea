-- What the proof leaves behind.

-- Append-only; verdict is PROVED or REPAIRED. In force for an hour: the highest (frontier, seal).
-- document is the certificate as JSON, with all that is needed to run the proof again.
CREATE TABLE IF NOT EXISTS certificates (
    stream String,
    hour DateTime('UTC'),
    frontier UInt64,
    seal UInt64,
    verdict String,
    windows UInt64,
    cells UInt64,
    events UInt64,
    events_as_they_came UInt64,
    offsets UInt64,
    digest String,
    document String,
    certified_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(hour) ORDER BY (stream, hour, frontier, seal);

-- Every judgement of every run: PROVED, REPAIRED, DRIFTED, UNPROVABLE or OPEN, with its reason.
CREATE TABLE IF NOT EXISTS verdicts (
    stream String,
    hour DateTime('UTC'),
    seal UInt64,
    verdict String,
    reason String,
    missing UInt64,
    excess UInt64,
    mismatched UInt64,
    run String,
    judged_at DateTime('UTC')
) ENGINE = MergeTree() PARTITION BY toYYYYMM(hour) ORDER BY (stream, hour, judged_at);

-- Where served and expected figures differed; figures are exact integers at the contract's scale, as text by measure.
-- class: missing (expected, not served), excess (served, not expected), mismatched.
CREATE TABLE IF NOT EXISTS differences (
    stream String,
    hour DateTime('UTC'),
    seal UInt64,
    cube String,
    window_start DateTime('UTC'),
    dimensions String,
    class String,
    expected String,
    served String
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(hour) ORDER BY (stream, hour, seal, cube, window_start, dimensions);

-- The balance of an hour over the offset ranges that its recount read, one row for each Kafka partition:
-- offsets = this_hour + other_hours + rejected + non_records. duplicates are copies of this hour beyond the first.
CREATE TABLE IF NOT EXISTS balances (
    stream String,
    hour DateTime('UTC'),
    seal UInt64,
    partition UInt32,
    ranges String,
    offsets UInt64,
    this_hour UInt64,
    other_hours UInt64,
    rejected UInt64,
    rejected_by_reason String,
    non_records UInt64,
    ledger_non_records UInt64,
    late UInt64,
    duplicates UInt64
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(hour) ORDER BY (stream, hour, seal, partition);

-- What a run of the reconciliation decided for an hour at each step: plan, recount, verdict. frontier and seal name
-- the rows that it writes; document holds the step's evidence as JSON. A step that runs again replaces its row.
CREATE TABLE IF NOT EXISTS reconciliations (
    run String,
    stream String,
    hour DateTime('UTC'),
    step String,
    seal UInt64,
    generation UInt64,
    frontier UInt64,
    base_frontier UInt64,
    base_seal UInt64,
    document String,
    written_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(hour) ORDER BY (run, stream, hour, step);
