-- The served rows of one hour, with what the expectations of ad_events_served.json look at beside them.
SELECT
    window_start, window_end, event_type, country, ad_format, event_count, avg_revenue, total_revenue, status,
    toInt64(toUInt32(window_end)) - toInt64(toUInt32(window_start)) AS window_seconds,
    toFloat64(total_revenue) / event_count AS revenue_per_event,
    if(event_type = 'impression', toFloat64(total_revenue), 0) AS impression_revenue,
    clicks / impressions AS click_through_rate
FROM (
    SELECT *, toUInt8(1) AS one FROM ad_events_aggregated
    WHERE window_start >= %(from)s AND window_start < %(to)s
) AS served
ANY LEFT JOIN (
    SELECT
        toUInt8(1) AS one,
        sumIf(event_count, event_type = 'click') AS clicks,
        greatest(sumIf(event_count, event_type = 'impression'), 1) AS impressions
    FROM ad_events_aggregated
    WHERE window_start >= %(from)s AND window_start < %(to)s
) AS hour_totals USING (one)
ORDER BY window_start, event_type, country, ad_format
