"""The platform on one machine: Kafka, ClickHouse, Spark and Airflow as processes of this user.

Everything they keep (data, logs, process ids, generated passwords) is under `.local/`.
"""
