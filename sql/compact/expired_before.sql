-- The hour before which all hours of a stream have expired; the epoch when none has.
SELECT max(expired_before) FROM expired_hours WHERE stream = %(stream)s
