"""The peers of the recount over records of which one is a duplicate, on a topic and a database of their own."""

from __future__ import annotations

from datetime import timedelta

from confluent_kafka import Producer
from pyspark.sql import SparkSession

from benchmarks.recounting import DeduplicatedBatch, ObviousBatch
from benchmarks.workload import SQL, STREAM, Workload, own_place
from include.settings import Settings
from include.warehouse.client import connect
from tests.helpers import MOMENT, encoded

HOUR = MOMENT.replace(minute=0, second=0, microsecond=0)


def test_a_repeated_identity_counts_twice_for_the_obvious_job_and_once_for_the_deduplicated(
    settings: Settings, spark: SparkSession
) -> None:
    later = (HOUR + timedelta(hours=1)).isoformat()
    with own_place(settings, STREAM) as (here, contract):
        producer = Producer({"bootstrap.servers": here.kafka_bootstrap_servers})
        sent = (encoded(), encoded(), encoded(event_id="E2"), encoded(event_id="E3", timestamp=later))
        for partition, value in enumerate(sent):
            producer.produce(contract.topic.name, value, partition=partition)
        assert producer.flush(30) == 0
        client = connect(here)
        client.execute((SQL / "obvious.sql").read_text(encoding="utf-8"))
        client.disconnect()
        workload = Workload(here, contract, len(sent), 0.0, truth={})
        served = {}
        for kind in (ObviousBatch, DeduplicatedBatch):
            contender = kind(spark, workload, HOUR)
            contender.run()
            served[kind.name] = list(contender.served().values())
            contender.close()
    assert served == {"obvious": [(3, 49_500)], "deduplicated": [(2, 33_000)]}
