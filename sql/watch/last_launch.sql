-- When a launch of a stream was last ordered, by anyone, and when the last that no driver has spoken of yet: epoch
-- milliseconds, 0 where never. launch_stream repeats the order of a stream that it finds running.
SELECT
    max(at) AS ordered_at,
    maxIf(at, launch NOT IN (
        SELECT launch FROM heartbeats WHERE stream = %(stream)s AND day >= yesterday()
    )) AS unseen_at
FROM orders
WHERE stream = %(stream)s AND kind = 'launch'
