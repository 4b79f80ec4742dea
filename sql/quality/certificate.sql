-- The certificate in force of one hour: what it covers, how many events it counted, and by which contract version.
SELECT frontier, seal, events, toUInt32OrZero(extract(document, '"contract_version": *([0-9]+)')) AS version
FROM certificates
WHERE stream = %(stream)s AND hour = toDateTime(%(from)s, 'UTC')
ORDER BY frontier DESC, seal DESC
LIMIT 1
