-- The contract version that each certificate of a stream's hours names, 0 where it names none.
SELECT hour, frontier, seal, toUInt32OrZero(extract(document, '"contract_version": *([0-9]+)')) AS version
FROM certificates
WHERE stream = %(stream)s AND hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC')
