-- The detector: a minute's average against mean and deviation of the service's previous ten minutes.
SELECT window_start, service, average,
    avg(average) OVER (PARTITION BY service ORDER BY window_start ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING) AS mean,
    stddev_samp(average) OVER (PARTITION BY service ORDER BY window_start ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING)
        AS deviation
FROM (
    SELECT window(event_time, '1 minute').start AS window_start, service, avg(response_time) AS average
    FROM events
    GROUP BY window(event_time, '1 minute'), service
)
