-- When the first batch that follows an offset was committed; 1970 when none follows.
SELECT min(committed_at)
FROM ledger
WHERE stream = %(stream)s AND partition = %(partition)s AND start_offset >= %(offset)s
