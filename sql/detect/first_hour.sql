-- The first hour of a stream that was ever judged; the epoch where none was.
SELECT min(hour) FROM verdicts WHERE stream = %(stream)s
