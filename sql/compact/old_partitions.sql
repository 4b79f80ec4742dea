-- Days of a table that lie wholly before a day, written YYYYMMDD, their rows and parts; or months, written YYYYMM.
SELECT toUInt32(partition) AS day, sum(rows) AS rows, count() AS parts
FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND toUInt32(partition) < %(day)s
GROUP BY day
ORDER BY day
