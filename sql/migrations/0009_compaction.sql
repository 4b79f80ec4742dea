-- What compaction and retention leave behind of rows that have expired.

-- All hours of a stream that begin before expired_before were certified and have expired: they are judged no more.
CREATE TABLE IF NOT EXISTS expired_hours (
    stream String,
    expired_before DateTime('UTC'),
    decided_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() ORDER BY (stream, expired_before);

-- What the expired ledger rows of a stream and Kafka partition add up to, from its first offset to end_offset, where
-- the rows that are left begin. In force: the highest end_offset of each partition.
CREATE TABLE IF NOT EXISTS expired_ledger (
    stream String,
    partition UInt32,
    end_offset UInt64,
    offsets UInt64,
    lost UInt64,
    accepted UInt64,
    rejected UInt64,
    late UInt64,
    non_records UInt64,
    decided_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() ORDER BY (stream, partition, end_offset);
