-- What a later certificate of an hour changed in the exact figures of the one before it (base_frontier, base_seal), one
-- row for each changed cell, the first ones of a certificate only: its document has the counts.
-- change: added, removed, changed. Figures are exact integers at the contract's scale, as text by measure.
CREATE TABLE IF NOT EXISTS amendments (
    stream String,
    hour DateTime('UTC'),
    frontier UInt64,
    seal UInt64,
    base_frontier UInt64,
    base_seal UInt64,
    cube String,
    window_start DateTime('UTC'),
    dimensions String,
    change String,
    before String,
    after String
) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(hour)
ORDER BY (stream, hour, frontier, seal, cube, window_start, dimensions);
