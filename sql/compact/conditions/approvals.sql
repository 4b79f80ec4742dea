{#- Old approvals whose dead letters have expired. -#}
approved_at < toDateTime(%(cutoff)s, 'UTC')
    AND (stream, partition, record_offset) NOT IN (SELECT stream, partition, record_offset FROM dead_letters)
