-- How many identities of a certified hour its recount also saw as an event of another hour: a report, no part of the
-- proof. It is what the ranges show that the recount read; null in certificates of before it was counted.
ALTER TABLE certificates ADD COLUMN id_reused Nullable(UInt64) AFTER events_as_they_came;
