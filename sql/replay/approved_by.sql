-- How many dead letters of a stream one run has approved.
SELECT count() FROM replay_approvals FINAL WHERE stream = %(stream)s AND run = %(run)s
