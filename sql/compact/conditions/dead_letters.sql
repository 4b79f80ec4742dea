{#- Old dead letters that arrived in certified hours. -#}
stream = %(stream)s AND day < toDate(%(day)s)
    AND has(%(hours)s, toUInt32(toStartOfHour(toDateTime(intDiv(kafka_time, 1000), 'UTC'))))
