-- The pieces of a folded stretch, as reconcile/folded_ledger.sql.j2 yields them.
SELECT
    piece, partition, first_batch, last_batch, begin, upto, events, rejects, late_events, without_record,
    tuple(hours, hour_events) AS by_hour, kafka_from, kafka_to, contract_version, chained, special
FROM folded_pieces FINAL
WHERE stream = %(stream)s AND version = %(version)s
ORDER BY piece, partition
