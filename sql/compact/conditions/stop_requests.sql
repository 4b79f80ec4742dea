{#- Old requests to stop, but for the newest generation's of each stream. -#}
requested_at < toDateTime(%(cutoff)s, 'UTC') AND generation < transform(stream, %(streams)s, %(kept)s, toUInt64(0))
