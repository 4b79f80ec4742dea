-- When the watcher gave up a stream after a moment, epoch milliseconds; 0 where it did not.
SELECT min(at) FROM stream_checks
WHERE stream = %(stream)s AND day >= %(day)s AND at > %(since)s AND action = 'gave_up'
