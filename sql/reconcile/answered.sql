-- The newest question about each hour of a stream since a moment that has an answer: run, question and answer.
SELECT hour, argMax(run, asked_at) AS of_run, argMax(question, asked_at) AS shown, argMax(answer, asked_at) AS said
FROM (
    SELECT run, hour,
        maxIf(written_at, step = 'asked') AS asked_at,
        anyIf(document, step = 'asked') AS question,
        anyIf(document, step = 'answer') AS answer
    FROM reconciliations
    WHERE stream = %(stream)s AND step IN ('asked', 'answer') AND written_at >= toDateTime(%(since)s, 'UTC')
    GROUP BY run, hour
    HAVING countIf(step = 'answer') > 0 AND countIf(step = 'asked') > 0
)
GROUP BY hour
