-- For how many seconds the ClickHouse server has been up: what it was not told meanwhile says nothing of a stream.
SELECT uptime()
