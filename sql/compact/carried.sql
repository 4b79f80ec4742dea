-- What the expired ledger rows of each partition of a stream add up to.
SELECT partition, end_offset, offsets, lost, accepted, rejected, late, non_records
FROM expired_ledger
WHERE stream = %(stream)s
ORDER BY partition, end_offset DESC
LIMIT 1 BY partition
