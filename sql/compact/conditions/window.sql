{#- Rows of a cube's expired hours. -#}
window_start < toDateTime(%(before)s, 'UTC')
