-- When a launch of a stream was last ordered, by anyone: epoch milliseconds, 0 where never.
SELECT max(at) FROM orders WHERE stream = %(stream)s AND kind = 'launch'
