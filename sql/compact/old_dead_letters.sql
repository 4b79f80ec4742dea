-- Old dead letters by the hour in which they arrived.
SELECT toStartOfHour(toDateTime(intDiv(kafka_time, 1000), 'UTC')) AS hour, count() AS rows
FROM dead_letters
WHERE stream = %(stream)s AND day < toDate(%(day)s)
GROUP BY hour
