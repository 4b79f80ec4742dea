-- Which batches of a stream count: the takeover row of the highest generation.
SELECT generation, keep_gen, keep_upto
FROM takeovers
WHERE stream = %(stream)s
ORDER BY generation DESC
LIMIT 1
