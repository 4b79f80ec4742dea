{#- Old results of quality checks. -#}
checked_at < toDateTime(%(cutoff)s, 'UTC')
