-- Dead letters that a later contract accepts: which were approved for folding, and which batches folded them.

-- Dead letters that were judged anew and passed under contract_version, of one run of replay_dead_letters; the streaming
-- job folds each once. Approving one again, under another version, takes the place of the first approval.
CREATE TABLE IF NOT EXISTS replay_approvals (
    stream String,
    partition UInt32,
    record_offset UInt64,
    contract_version UInt32,
    run String,
    approved_at DateTime('UTC')
) ENGINE = ReplacingMergeTree(approved_at) ORDER BY (stream, partition, record_offset);

-- The dead letters (replayed_partitions[i], replayed_offsets[i]) that a batch folded besides its offset range, each an
-- event of the hour replayed_hours[i], under the row's contract_version. The batch's row of the lowest partition has them.
ALTER TABLE ledger
    ADD COLUMN replayed_partitions Array(UInt32) AFTER contract_version,
    ADD COLUMN replayed_offsets Array(UInt64) AFTER replayed_partitions,
    ADD COLUMN replayed_hours Array(DateTime('UTC')) AFTER replayed_offsets;
