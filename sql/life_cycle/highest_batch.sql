-- The highest batch of a stream that was ever committed, valid or not.
SELECT max(batch) FROM ledger WHERE stream = %(stream)s
