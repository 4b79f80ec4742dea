{#- When events of generated traffic were sent, long ago; `at` is epoch milliseconds. -#}
sent_at < %(at)s
