-- History of every Great Expectations result.
CREATE TABLE IF NOT EXISTS quality_checks (
    run String,
    stream String,
    hour DateTime('UTC'),
    suite String,
    expectation String,
    column_name String,
    severity String,
    success UInt8,
    observed String,
    expected String,
    evidence String,
    checked_at DateTime('UTC')
) ENGINE = MergeTree() PARTITION BY toYYYYMM(checked_at) ORDER BY (stream, hour, suite, checked_at);
