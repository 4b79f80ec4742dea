-- Whether a launch of a stream has said that it committed a batch.
SELECT count() > 0 FROM heartbeats WHERE stream = %(stream)s AND launch = %(launch)s AND batch > 0
