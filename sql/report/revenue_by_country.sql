-- Revenue of a stretch of time by country, in dollars, and whether any of it is provisional.
SELECT country, sum(total_revenue) AS dollars, max(status = 'provisional') AS is_provisional
FROM ad_events_aggregated
WHERE window_start >= toDateTime(%(from)s, 'UTC') AND window_start < toDateTime(%(to)s, 'UTC')
GROUP BY country
ORDER BY country
