-- The lowest batch of a stream, from `high` on, that was committed since a moment; 0 where there is none.
SELECT min(batch) FROM ledger WHERE stream = %(stream)s AND batch >= %(high)s AND committed_at >= toDateTime(%(since)s, 'UTC')
