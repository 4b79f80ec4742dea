-- The stretch of a stream's ledger that was folded last, if any, and how many seconds ago.
SELECT
    version, bits, low, high, pieces, generations, last_batches, partitions, end_offsets, hours, hour_batches,
    toInt64(now()) - toInt64(folded_at) AS age
FROM folded_stretches
WHERE stream = %(stream)s
ORDER BY version DESC
LIMIT 1
