-- The highest batch of a stream that was ever committed, valid or not, from batch `lowest` on; 0 where there is none.
SELECT max(batch) FROM ledger WHERE stream = %(stream)s AND batch >= %(lowest)s
