-- Offset ranges that the certificate of an hour with one seal counted, a JSON list for each partition.
SELECT partition, ranges
FROM balances FINAL
WHERE stream = %(stream)s AND hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC')
    AND seal = %(seal)s
