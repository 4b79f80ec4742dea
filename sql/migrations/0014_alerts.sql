-- What the detectors found.

-- One row for each state of an alert; the newest judgement counts. state: provisional (the streaming job found it, on
-- figures as they came), then by the seal of every hour that it used: confirmed, retracted, or raised (found only by
-- the seal). evidence is JSON: the figures and the threshold. fired_ms and judged_ms are epoch milliseconds: when it
-- was first found, and when a seal judged it, 0 while provisional, so that no provisional row covers a judgement.
CREATE TABLE IF NOT EXISTS alerts (
    detector String,
    stream String,
    window_start DateTime('UTC'),
    window_end DateTime('UTC'),
    subject String,
    severity String,
    state String,
    evidence String,
    fired_ms UInt64,
    judged_ms UInt64
) ENGINE = ReplacingMergeTree(judged_ms) PARTITION BY toYYYYMM(window_start)
ORDER BY (detector, stream, window_start, subject);

-- Under which certificate a detector has judged an hour for good.
CREATE TABLE IF NOT EXISTS alert_judgements (
    detector String,
    stream String,
    hour DateTime('UTC'),
    frontier UInt64,
    seal UInt64,
    judged_ms UInt64
) ENGINE = ReplacingMergeTree(judged_ms) PARTITION BY toYYYYMM(hour) ORDER BY (detector, stream, hour);

-- What a streaming job's detectors did since their last row, about once a minute where there was anything to do:
-- windows judged, alerts written, statements that failed and the newest reason, seconds of the slowest statement.
CREATE TABLE IF NOT EXISTS detector_checks (
    detector String,
    stream String,
    at Int64,
    day Date,
    windows UInt64,
    alerts UInt64,
    failures UInt64,
    slowest_seconds Float64,
    error String
) ENGINE = MergeTree() PARTITION BY toYYYYMMDD(day) ORDER BY (stream, detector, at);

-- Every alert in its newest state; judged_at is null while it is provisional.
CREATE VIEW IF NOT EXISTS alerts_current AS
SELECT
    detector,
    stream,
    subject,
    severity,
    state,
    window_start,
    window_end,
    evidence,
    toDateTime(intDiv(fired_ms, 1000), 'UTC') AS fired_at,
    if(judged_ms = 0, NULL, toDateTime(intDiv(judged_ms, 1000), 'UTC')) AS judged_at
FROM alerts FINAL;
