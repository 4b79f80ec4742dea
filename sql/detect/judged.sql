-- Under which certificate a detector has judged each hour of its stream.
SELECT hour, frontier, seal
FROM alert_judgements FINAL
WHERE detector = %(detector)s AND stream = %(stream)s
