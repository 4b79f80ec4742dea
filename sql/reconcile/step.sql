-- What each hour of a run has at one step.
SELECT stream, hour, seal, generation, frontier, base_frontier, base_seal, document
FROM reconciliations FINAL
WHERE run = %(run)s AND step = %(step)s
ORDER BY stream, hour
