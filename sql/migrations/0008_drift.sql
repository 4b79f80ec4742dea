-- What the proof found wrong beyond figures, and what it called it.

-- Ledger rows that a reconciliation wrote anew, recorded before they are written: kind gap (rebuilt from the raw
-- records) or overlap (cut to what no other row covers). number comes from the control topic like a seal's, so a
-- certificate with a higher seal has taken it into account; hours are the event hours that are to be judged again.
CREATE TABLE IF NOT EXISTS ledger_repairs (
    stream String,
    number UInt64,
    batch UInt64,
    partition UInt32,
    kind String,
    start_offset UInt64,
    end_offset UInt64,
    hours Array(DateTime('UTC')),
    finding String,
    repaired_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() ORDER BY (stream, number, partition, batch);

-- Classes of drift, where they can be told: of one differing cell, and of all that a judgement found.
ALTER TABLE differences ADD COLUMN drift String;
ALTER TABLE verdicts ADD COLUMN drifts Array(String);
