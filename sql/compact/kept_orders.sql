-- From when on a stream's orders say what ought to run: its last launch, or a later order, that was not the watcher's own.
SELECT stream, least(maxIf(at, kind = 'launch'), max(at)) AS kept_from
FROM orders
WHERE by != %(watcher)s
GROUP BY stream
