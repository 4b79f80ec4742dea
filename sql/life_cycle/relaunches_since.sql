-- How many launches of a stream the watcher ordered after a moment, epoch milliseconds.
SELECT count() FROM orders WHERE stream = %(stream)s AND at > %(since)s AND kind = %(kind)s AND by = %(watcher)s
