-- Runs of generated traffic that began long ago, the oldest first.
SELECT run FROM traffic_runs WHERE started_at < toDateTime(%(cutoff)s, 'UTC') GROUP BY run ORDER BY min(started_at) LIMIT 1000
