-- The detector: a minute's error rate against that of the minute before.
SELECT this.window_start, this.service, this.error_rate, before.error_rate AS previous
FROM (
    SELECT window.start AS window_start, service, 100D * count_if(status_code >= 400) / count(*) AS error_rate
    FROM events GROUP BY window(event_time, '1 minute'), service
) AS this
JOIN (
    SELECT window.end AS window_end, service, 100D * count_if(status_code >= 400) / count(*) AS error_rate
    FROM events GROUP BY window(event_time, '1 minute'), service
) AS before
ON this.service = before.service AND this.window_start = before.window_end
