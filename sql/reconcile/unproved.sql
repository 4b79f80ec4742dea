-- Up to which batch the late events of each hour of a stream are listed as amendments that cannot be proved.
SELECT hour, max(frontier) AS upto
FROM amendments
WHERE stream = %(stream)s AND change = 'unproved'
GROUP BY hour
