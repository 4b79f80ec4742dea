-- The rows that one recount wrote for its hour; revenue in micro-dollars.
SELECT toUnixTimestamp(window_start), event_type, country, ad_format, event_count, toInt64(revenue)
FROM ad_events_sealed
WHERE window_start >= %(begin)s AND window_start < %(end)s AND frontier = %(frontier)s AND seal = %(seal)s
