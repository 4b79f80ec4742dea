-- What makes a batch count: ledger rows (the commit) and takeover rows (which batches are valid).

-- One row for each batch and Kafka partition: the offsets [start_offset, end_offset) and what became of them.
-- Offsets below lost_to had expired before they were read. hours[i] is an event hour with hour_events[i] accepted
-- events between the offsets hour_first[i] and hour_last[i]. Kafka times are epoch milliseconds of all records read.
-- One ClickHouse partition for each stream, so that a batch's rows arrive as one block in one part: atomic.
CREATE TABLE IF NOT EXISTS ledger (
    stream String,
    batch UInt64,
    partition UInt32,
    start_offset UInt64,
    lost_to UInt64,
    end_offset UInt64,
    accepted UInt64,
    rejected UInt64,
    late UInt64,
    non_records UInt64,
    hours Array(DateTime('UTC')),
    hour_events Array(UInt64),
    hour_first Array(UInt64),
    hour_last Array(UInt64),
    kafka_time_min Int64,
    kafka_time_max Int64,
    contract_version UInt32,
    committed_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() PARTITION BY stream ORDER BY (stream, batch, partition);

-- One row for each generation of a stream's driver. A batch is valid when the row of the highest generation lists
-- its generation (keep_gen) and it is at most the keep_upto beside it.
CREATE TABLE IF NOT EXISTS takeovers (
    stream String,
    generation UInt64,
    keep_gen Array(UInt64),
    keep_upto Array(UInt64),
    taken_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() ORDER BY (stream, generation);

-- Rejected records; one is valid when its batch is. payload holds at most the first 4 KiB.
CREATE TABLE IF NOT EXISTS dead_letters (
    stream String,
    partition UInt32,
    record_offset UInt64,
    batch UInt64,
    kafka_time Int64,
    reason String,
    detail String,
    payload String,
    payload_bytes UInt64,
    payload_sha256 String,
    contract_version UInt32,
    day Date
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMMDD(day) ORDER BY (stream, partition, record_offset, batch);
