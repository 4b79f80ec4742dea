-- Every version of a contract that records may have been judged by: a ledger row names its version, and its records
-- are recounted under that one. document is the contract as JSON.
CREATE TABLE IF NOT EXISTS contract_versions (
    stream String,
    version UInt32,
    document String,
    stored_at DateTime('UTC')
) ENGINE = ReplacingMergeTree() ORDER BY (stream, version);
