"""Rejected records that a later contract accepts: found, read again from Kafka, judged, approved."""
