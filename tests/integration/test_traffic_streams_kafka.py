"""User events and logs on a real topic: keys, partitions, incidents, and the truth that is stored of each cube."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from clickhouse_driver import Client
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from include.contracts import load_contract
from include.contracts.classifier import Classifier, Event
from include.settings import Settings
from include.traffic.plan import parse_plan
from include.traffic.run import generate
from include.traffic.send import partition_of
from tests.helpers import eventually

SHARES = {"malformed": 0.02, "schema_breaking": 0.02, "duplicate": 0.05, "late": 0.02, "future": 0.02}


def consume(settings: Settings, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": f"read-{topic}"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(4)])
    records: list[Message] = []

    def all_read() -> bool:
        records.extend(consumer.consume(10_000, timeout=0.2))
        return len(records) >= count

    eventually(all_read, f"{count} records of {topic} are read", 30)
    consumer.close()
    assert all(record.error() is None for record in records)
    return records


@pytest.mark.parametrize(("stream", "incident"), [("user_events", "wild_user"), ("logs", "ddos")])
def test_a_run_with_an_incident_arrives_whole_and_its_truth_is_stored(
    stream: str, incident: str, kafka_topic: str, warehouse: Settings, clickhouse: Client
) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
    form = {"stream": stream, "rate": 5, "duration": 900, "start": start.isoformat(), "incident": incident}
    report = generate(parse_plan(form | SHARES), topic=kafka_topic, settings=warehouse)
    records = consume(warehouse, kafka_topic, report.sent)
    assert len(records) == report.sent == 4500 + {"wild_user": 120, "ddos": 400}[incident]

    classifier = Classifier(load_contract(stream))
    events = []
    for record in records:
        judged = classifier.classify(record.value(), record.timestamp()[1])
        if isinstance(judged, Event):
            events.append(judged)
    assert (len(events), len(records) - len(events)) == (report.accepted, report.rejected)

    facts = json.loads(json.dumps(report.as_dict()))["incident"]
    name, least = {"wild_user": ("user_id", 120), "ddos": ("ip_address", 400)}[incident]
    begin = datetime.fromisoformat(facts["minute"]).timestamp()
    there = [e for e in events if e.values[name] == facts["subject"] and 0 <= e.time_us / 1e6 - begin < 60]
    assert len(there) == least
    assert facts["alerts"]

    stored = clickhouse.execute(
        "SELECT cube, once, came FROM traffic_truth WHERE run = %(run)s AND stream = %(stream)s",
        {"run": report.run, "stream": stream},
    )
    assert len(stored) == report.windows
    for cube in load_contract(stream).cubes:
        rows = [(json.loads(once), json.loads(came)) for name, once, came in stored if name == cube.name]
        count = next(m.name for m in cube.measures if m.kind == "count")
        total = report.late if cube.only == "late" else report.accepted
        assert sum(came[count] for _, came in rows) == total, cube.name
        if not cube.only:
            assert sum(once[count] for once, _ in rows) == report.accepted - report.duplicates, cube.name
    assert 0 < report.duplicates <= 0.05 * report.sent


def test_a_user_has_the_partition_that_any_producer_would_choose(
    kafka_topic: str, warehouse: Settings
) -> None:
    start = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    plan = parse_plan({"stream": "user_events", "rate": 5, "duration": 60, "start": start})
    report = generate(plan, topic=kafka_topic, settings=warehouse)
    found = {}
    for record in consume(warehouse, kafka_topic, report.sent):
        assert record.key() == msgspec.json.decode(record.value())["user_id"].encode()
        assert found.setdefault(record.key(), record.partition()) == record.partition()
    assert len(Counter(found.values())) == 4
    chosen: dict[bytes, int] = {}
    producer = Producer({"bootstrap.servers": warehouse.kafka_bootstrap_servers})
    for key in found:
        producer.produce(
            kafka_topic,
            b"x",
            key,
            on_delivery=lambda _, message: chosen.update({message.key(): message.partition()}),
        )
    assert producer.flush(30) == 0
    assert chosen == found == {key: partition_of(key, 4) for key in found}
