-- The certificates of one hour as documents, the one in force first.
SELECT seal, document
FROM certificates
WHERE stream = %(stream)s AND hour = toDateTime(%(hour)s, 'UTC')
ORDER BY frontier DESC, seal DESC
