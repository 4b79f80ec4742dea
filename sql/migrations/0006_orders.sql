-- What was asked of the streams, and by which DAG: the memory of what ought to run.

-- kind: launch, stop. at is epoch milliseconds. streams is the set launched together. start is `earliest`, an ISO
-- timestamp, or empty for where the ledger ends. by is the DAG; watch_stream only repeats what people asked.
CREATE TABLE IF NOT EXISTS orders (
    stream String,
    at Int64,
    kind String,
    launch String,
    streams Array(String),
    trigger_seconds Float64,
    max_offsets UInt64,
    start String,
    by String
) ENGINE = MergeTree() ORDER BY (stream, at);
