-- What the old part of a stream's ledger adds up to, so that nobody reads it row by row each hour and minute. All of it is
-- made from the ledger by compact_warehouse and may be emptied at any time: what is not here is read from the ledger.

-- One row for each time a stretch was folded: the batches from `low` to before `high` in pieces of 2 ** bits batches, of
-- which folded_pieces has `pieces` rows under this version. generations[i] has its highest valid batch of the stretch at
-- last_batches[i], partitions[i] its highest end offset at end_offsets[i], and hours[i], an event hour, its highest valid
-- batch at hour_batches[i]. In force: the highest version, while each of the last_batches is valid.
CREATE TABLE IF NOT EXISTS folded_stretches (
    stream String,
    version UInt64,
    bits UInt8,
    low UInt64,
    high UInt64,
    pieces UInt64,
    generations Array(UInt64),
    last_batches Array(UInt64),
    partitions Array(UInt32),
    end_offsets Array(UInt64),
    hours Array(DateTime('UTC')),
    hour_batches Array(UInt64),
    folded_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() PARTITION BY stream ORDER BY (stream, version);

-- The valid rows of one piece and Kafka partition added up; columns as sql/reconcile/folded_ledger.sql.j2 names them.
CREATE TABLE IF NOT EXISTS folded_pieces (
    stream String,
    version UInt64,
    piece UInt64,
    partition UInt32,
    first_batch UInt64,
    last_batch UInt64,
    begin UInt64,
    upto UInt64,
    events UInt64,
    rejects UInt64,
    late_events UInt64,
    without_record UInt64,
    hours Array(DateTime('UTC')),
    hour_events Array(UInt64),
    kafka_from Int64,
    kafka_to Int64,
    contract_version UInt32,
    chained UInt8,
    special UInt64
) ENGINE = ReplacingMergeTree() PARTITION BY stream ORDER BY (stream, version, piece, partition);
