-- How many ledger rows a stream's generation (its batches begin at lowest) has committed.
SELECT count() FROM ledger WHERE stream = %(stream)s AND batch >= %(lowest)s
