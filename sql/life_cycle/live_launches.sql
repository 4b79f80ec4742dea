-- The last word of each launch of a stream that spoke since a moment, epoch milliseconds.
SELECT launch, argMax(state, at) AS last_state, max(generation) AS last_generation
FROM heartbeats
WHERE stream = %(stream)s AND day >= %(day)s AND at > %(since)s
GROUP BY launch
