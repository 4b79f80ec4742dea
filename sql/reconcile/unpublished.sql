-- Certificates in force that were not published as asset events yet.
SELECT stream, hour, frontier, seal
FROM (
    SELECT stream, hour, frontier, seal
    FROM certificates
    ORDER BY stream, hour, frontier DESC, seal DESC
    LIMIT 1 BY stream, hour
)
ANY LEFT JOIN (
    SELECT stream, hour, frontier, seal, toUInt8(1) AS published
    FROM reconciliations
    WHERE step = 'published'
) USING (stream, hour, frontier, seal)
WHERE published = 0
ORDER BY stream, hour
