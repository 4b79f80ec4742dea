-- The generator's truth of a stream: exact figures by window and dimensions, one row for each run.
SELECT window_start, dimensions, once, came FROM traffic_truth FINAL WHERE stream = %(stream)s
