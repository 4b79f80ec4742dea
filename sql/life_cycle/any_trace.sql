-- How many takeovers and launch orders there are of a stream, and whether any ledger row: all 0 for one that is new, or
-- was lost.
SELECT
    (SELECT count() FROM takeovers WHERE stream = %(stream)s) AS takeover_rows,
    (SELECT count() FROM (SELECT batch FROM ledger WHERE stream = %(stream)s LIMIT 1)) AS ledger_rows,
    (SELECT count() FROM orders WHERE stream = %(stream)s AND kind = 'launch') AS launches
