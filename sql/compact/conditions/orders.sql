{#- Old orders from before the one that says what ought to run. -#}
at < %(at)s AND at < transform(stream, %(streams)s, %(kept)s, toUInt64(0))
