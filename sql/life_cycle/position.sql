-- For each generation and partition of a stream, the highest valid batch and end offset: one read of the ledger, so that
-- what a takeover keeps and where it begins agree. A batch is valid up to the limit beside its generation. Without the
-- batches from `low` to before `high`, whose folds say it.
SELECT bitShiftRight(batch, 40) AS generation, partition, max(batch) AS last_batch, max(end_offset) AS frontier
FROM ledger
WHERE stream = %(stream)s AND batch <= transform(bitShiftRight(batch, 40), %(generations)s, %(limits)s, toUInt64(0))
    AND (batch < %(low)s OR batch >= %(high)s)
GROUP BY generation, partition
