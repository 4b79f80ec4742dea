-- What the generator says it sent to a stream, over all its runs.
SELECT sum(sent) FROM traffic_runs FINAL WHERE stream = %(stream)s
