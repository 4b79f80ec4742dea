-- The stretch of a stream's ledger that was folded last, if any.
SELECT
    version, bits, low, high, pieces, generations, last_batches, partitions, end_offsets, hours, hour_batches
FROM folded_stretches
WHERE stream = %(stream)s
ORDER BY version DESC
LIMIT 1
