-- Copies beyond the first that each seal of a stream's hours found.
SELECT hour, seal, sum(duplicates) FROM balances FINAL WHERE stream = %(stream)s GROUP BY hour, seal
