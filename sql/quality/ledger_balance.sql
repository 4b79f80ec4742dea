-- Ledger rows of valid batches that list one hour, any row from there to the frontier that does not begin where the
-- one before it ended (offset_gap), and the balance of the hour's certificate in force.
SELECT
    'ledger' AS record,
    toInt64(partition) AS partition,
    toNullable(toInt64(item.1)) AS start_offset,
    toNullable(toInt64(item.2)) AS end_offset,
    toNullable(toInt64(item.3)) AS lost_to,
    toInt64(item.2) - toInt64(greatest(item.1, item.3)) AS offsets,
    toInt64(item.4) + toInt64(item.5) + toInt64(item.6) AS accounted,
    item.5 / greatest(toInt64(item.2) - toInt64(item.1), 1) AS rejected_share,
    toNullable(toInt64(item.1) - previous_end) AS offset_gap,
    toInt64(item.6) AS non_records,
    CAST(NULL AS Nullable(Int64)) AS ledger_non_records
FROM (
    SELECT
        partition,
        arraySort(groupArrayIf(
            tuple(start_offset, end_offset, lost_to, accepted, rejected, non_records, of_hour), start_offset >= first
        )) AS chain,
        if(countIf(start_offset < first) > 0, toInt64(maxIf(end_offset, start_offset < first)), toInt64(any(first)))
            AS reached,
        arrayPushFront(arrayPopBack(arrayMap(x -> toInt64(x.2), chain)), reached) AS previous_ends
    FROM (
        SELECT partition, start_offset, end_offset, lost_to, accepted, rejected, non_records, of_hour
        FROM (
            SELECT
                partition, start_offset, end_offset, lost_to, accepted, rejected, non_records, batch,
                has(hours, toDateTime(%(from)s, 'UTC')) AS of_hour, bitShiftRight(batch, 40) AS generation
            FROM ledger FINAL
            WHERE stream = %(stream)s
        ) AS l
        ANY LEFT JOIN (
            SELECT generation, upto
            FROM (
                SELECT keep_gen, keep_upto FROM takeovers WHERE stream = %(stream)s ORDER BY generation DESC LIMIT 1
            )
            ARRAY JOIN keep_gen AS generation, keep_upto AS upto
        ) AS t USING (generation)
        WHERE batch <= upto
    ) AS valid
    ALL INNER JOIN (
        SELECT partition, min(start_offset) AS first
        FROM ledger
        WHERE stream = %(stream)s AND has(hours, toDateTime(%(from)s, 'UTC'))
        GROUP BY partition
    ) AS firsts USING (partition)
    GROUP BY partition
)
ARRAY JOIN chain AS item, previous_ends AS previous_end
WHERE item.7 = 1 OR toInt64(item.1) != previous_end
UNION ALL
SELECT
    'balance' AS record,
    toInt64(partition) AS partition,
    CAST(NULL AS Nullable(Int64)) AS start_offset,
    CAST(NULL AS Nullable(Int64)) AS end_offset,
    CAST(NULL AS Nullable(Int64)) AS lost_to,
    toInt64(b_offsets) AS offsets,
    toInt64(this_hour + other_hours + b_rejected + b_non_records) AS accounted,
    b_rejected / greatest(toInt64(b_offsets), 1) AS rejected_share,
    CAST(NULL AS Nullable(Int64)) AS offset_gap,
    toInt64(b_non_records) AS non_records,
    toNullable(toInt64(b_ledger_non_records)) AS ledger_non_records
FROM (
    SELECT
        seal, partition, this_hour, other_hours, offsets AS b_offsets, rejected AS b_rejected,
        non_records AS b_non_records, ledger_non_records AS b_ledger_non_records
    FROM balances FINAL
    WHERE stream = %(stream)s AND hour = toDateTime(%(from)s, 'UTC')
) AS b
ALL INNER JOIN (
    SELECT seal
    FROM certificates
    WHERE stream = %(stream)s AND hour = toDateTime(%(from)s, 'UTC')
    ORDER BY frontier DESC, seal DESC
    LIMIT 1
) AS c USING (seal)
