-- Hours of a stream whose repair was asked for since a moment and has no answer.
SELECT DISTINCT hour
FROM (
    SELECT run, hour
    FROM reconciliations
    WHERE stream = %(stream)s AND step IN ('asked', 'answer') AND written_at >= toDateTime(%(since)s, 'UTC')
    GROUP BY run, hour
    HAVING countIf(step = 'answer') = 0
)
