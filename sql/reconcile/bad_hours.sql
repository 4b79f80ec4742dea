-- Hours of a stream whose newest verdict is no proof, with what it says, and whether a certificate stays in force.
SELECT hour, last_verdict, why, lacking, surplus, unlike, of_run, certified
FROM (
    SELECT hour,
        argMax(verdict, judged_ms) AS last_verdict,
        argMax(reason, judged_ms) AS why,
        argMax(missing, judged_ms) AS lacking,
        argMax(excess, judged_ms) AS surplus,
        argMax(mismatched, judged_ms) AS unlike,
        argMax(run, judged_ms) AS of_run,
        countIf(verdict IN ('PROVED', 'REPAIRED')) AS certified
    FROM verdicts
    WHERE stream = %(stream)s
    GROUP BY hour
)
WHERE last_verdict NOT IN ('PROVED', 'REPAIRED')
ORDER BY hour
