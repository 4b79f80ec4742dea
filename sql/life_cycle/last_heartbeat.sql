-- The last heartbeat of a stream's newest generation since a day; of one launch when launch is not empty.
SELECT at, launch, generation, state, batch, lag, detail
FROM heartbeats
WHERE stream = %(stream)s AND day >= %(since)s AND (%(launch)s = '' OR launch = %(launch)s)
ORDER BY generation DESC, at DESC
LIMIT 1
