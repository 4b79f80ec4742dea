-- Files that were published to a stream's topic.

-- One row for each file by the SHA-256 of its bytes. state: started (an attempt was made; none of its records is visible
-- unless it becomes published), published (all of its records are in the topic). The markers in Kafka are the truth, and
-- this is their copy. first_offsets and last_offsets belong to `partitions`; between them are other records, too.
-- bytes are the file's own, packed or not; records its lines without the blank ones. started_ms and published_ms are epoch
-- milliseconds, the latter 0 while started, so that no later attempt covers a publication. Rows never expire.
CREATE TABLE IF NOT EXISTS files (
    stream String,
    digest String,
    name String,
    topic String,
    state String,
    bytes UInt64,
    records UInt64,
    blank_lines UInt64,
    timestamps String,
    partitions Array(UInt32),
    first_offsets Array(UInt64),
    last_offsets Array(UInt64),
    run String,
    started_ms UInt64,
    published_ms UInt64
) ENGINE = ReplacingMergeTree(published_ms) ORDER BY (stream, digest);

-- Every file in its newest state; published_at is null while it is started.
CREATE VIEW IF NOT EXISTS files_current AS
SELECT
    stream,
    name,
    state,
    records,
    blank_lines,
    bytes,
    timestamps,
    if(published_ms = 0, NULL, toDateTime(intDiv(published_ms, 1000), 'UTC')) AS published_at,
    digest,
    topic,
    partitions,
    first_offsets,
    last_offsets,
    run
FROM files FINAL;
