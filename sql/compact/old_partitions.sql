-- Days of a log-like table that lie wholly before a day, written YYYYMMDD, and their rows; or months, written YYYYMM.
SELECT toUInt32(partition) AS day, sum(rows) AS rows
FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND toUInt32(partition) < %(day)s
GROUP BY day
ORDER BY day
