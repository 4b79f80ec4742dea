-- Copies beyond the first, in the hours and under the seals given.
SELECT sum(duplicates) FROM balances FINAL WHERE stream = %(stream)s AND (hour, seal) IN %(certified)s
