-- What was mended in a stream's ledger, and which hours that concerns.
SELECT number, finding, hours
FROM ledger_repairs FINAL
WHERE stream = %(stream)s
ORDER BY number, partition, batch
