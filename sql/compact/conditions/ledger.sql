{#- Ledger rows below the offsets from which they must stay. -#}
stream = %(stream)s AND committed_at < toDateTime(%(cutoff)s, 'UTC') AND has(%(partitions)s, partition)
    AND end_offset <= transform(toUInt64(partition), %(partitions)s, %(floors)s, toUInt64(0))
