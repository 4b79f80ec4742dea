{#- All rows of given incidents. -#}
has(%(incidents)s, concat(toString(opened_at), ' ', key))
