-- The generator's truth of a stream: exact figures by cube, window and dimensions, one row for each run, and when it
-- began.
SELECT cube, window_start, dimensions, once, came, started_at
FROM (SELECT run, cube, window_start, dimensions, once, came FROM traffic_truth FINAL WHERE stream = %(stream)s) AS t
ANY LEFT JOIN (SELECT run, started_at FROM traffic_runs FINAL WHERE stream = %(stream)s) AS r USING (run)
