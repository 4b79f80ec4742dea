-- The last launch of a stream that was not the watcher's own, whether or not a stop was ordered since.
SELECT at, kind, launch, streams, trigger_seconds, max_offsets, start, by
FROM orders
WHERE stream = %(stream)s AND by != %(watcher)s AND kind = 'launch'
ORDER BY at DESC
LIMIT 1
