{#- Rows of a stream's expired hours. -#}
stream = %(stream)s AND hour < toDateTime(%(before)s, 'UTC')
