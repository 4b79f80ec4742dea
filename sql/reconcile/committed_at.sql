-- When batches of a stream were committed, by Kafka partition.
SELECT batch, partition, committed_at
FROM ledger FINAL
WHERE stream = %(stream)s AND batch IN %(batches)s
