-- What the product serves; revenue in micro-dollars.
SELECT toUnixTimestamp(window_start), event_type, country, ad_format, event_count, toInt64(total_revenue * 1000000)
FROM ad_events_aggregated
