-- Which of two verdicts on an hour is the newer: they may fall into one second.
ALTER TABLE verdicts ADD COLUMN judged_ms UInt64 DEFAULT toUInt64(toUnixTimestamp(judged_at)) * 1000 AFTER judged_at;
