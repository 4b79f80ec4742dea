{#- Old repairs of ledger rows that concern expired hours alone. -#}
stream = %(stream)s AND repaired_at < toDateTime(%(cutoff)s, 'UTC')
    AND NOT arrayExists(hour -> hour >= toDateTime(%(before)s, 'UTC'), hours)
