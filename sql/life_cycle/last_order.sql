-- The last order for a stream that was not the watcher's own.
SELECT at, kind, launch, streams, trigger_seconds, max_offsets, start, by
FROM orders
WHERE stream = %(stream)s AND by != %(watcher)s
ORDER BY at DESC
LIMIT 1
