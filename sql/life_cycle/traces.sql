-- What a stream has left besides valid ledger rows: ledger rows of any kind, the highest batch that a heartbeat told of
-- (of one generation, or of any when it is 0), and how many launches were ordered.
SELECT
    (SELECT count() FROM ledger WHERE stream = %(stream)s) AS ledger_rows,
    (SELECT max(batch) FROM heartbeats
      WHERE stream = %(stream)s AND (%(generation)s = 0 OR generation = %(generation)s)) AS told,
    (SELECT count() FROM orders WHERE stream = %(stream)s AND kind = 'launch') AS launches
