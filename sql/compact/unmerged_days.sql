-- Days of a table that lie wholly before a day, written YYYYMMDD, and have several parts.
SELECT toUInt32(partition) AS day
FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND toUInt32(partition) < %(day)s
GROUP BY day
HAVING count() > 1
ORDER BY day
