{#- Rows of given runs of generated traffic. -#}
has(%(runs)s, run)
