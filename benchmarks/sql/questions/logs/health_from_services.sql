-- All services together, from the minutes of each service: two aggregations.
SELECT minutes.start AS window_start, sum(requests) AS total_requests, count(*) AS active_services
FROM (
    SELECT window(event_time, '1 minute') AS minutes, service, count(*) AS requests
    FROM events
    GROUP BY window(event_time, '1 minute'), service
)
GROUP BY minutes
