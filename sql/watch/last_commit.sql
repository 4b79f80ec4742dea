-- When the batches of a stream from `lowest` on were last committed, epoch seconds; 0 where there is none.
SELECT toUInt32(max(committed_at)) FROM ledger WHERE stream = %(stream)s AND batch >= %(lowest)s
