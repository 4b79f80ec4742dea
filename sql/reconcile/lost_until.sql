-- Which of some batches say that offsets had expired before they were read, and when they were committed.
SELECT batch, partition, start_offset, lost_to, committed_at
FROM ledger FINAL
WHERE stream = %(stream)s AND batch IN %(batches)s AND lost_to > start_offset
