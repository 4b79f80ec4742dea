-- When the watcher last looked at any stream since a day, epoch milliseconds; 0 where it did not.
SELECT max(at) FROM stream_checks WHERE day >= %(day)s
