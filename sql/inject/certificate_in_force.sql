-- The certificate that readers of an hour see; none while the hour is open.
SELECT frontier, seal FROM certificates
WHERE stream = %(stream)s AND hour = toDateTime(%(hour)s, 'UTC')
ORDER BY frontier DESC, seal DESC
LIMIT 1
