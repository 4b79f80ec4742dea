"""A topic that keeps old records, and records of a past hour to fill it with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from include.contracts import Contract
from include.settings import Settings
from tests.conftest import create_topic, fresh_suffix
from tests.helpers import encoded

LASTING = {"message.timestamp.before.max.ms": str(2**62), "retention.ms": "-1"}


@pytest.fixture
def lasting_topic(settings: Settings) -> Iterator[str]:
    """A new topic of two partitions whose records never expire by age, deleted at the end."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    name = f"test-{fresh_suffix()}"
    create_topic(admin, NewTopic(name, 2, 1, config=LASTING))
    yield name
    admin.delete_topics([name])[name].result(30)


def with_topic(contract: Contract, topic: str) -> Contract:
    """Return the contract with another topic."""
    return contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": topic})})


def event_of(hour: datetime, number: int, **changes: object) -> bytes:
    """Return a good advertising event of an hour, with changes."""
    moment = hour + timedelta(seconds=number % 3_000)
    return encoded(**{"event_id": f"E{number}", "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}", **changes})


def send(
    settings: Settings,
    topic: str,
    partition: int,
    values: Sequence[bytes | None],
    hour: datetime,
    keys: Sequence[bytes | None] = (),
) -> None:
    """Send the values to a partition, with a Kafka timestamp 50 minutes into the hour."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "acks": "all"})
    kafka_ms = int((hour + timedelta(minutes=50)).timestamp() * 1000)
    for number, value in enumerate(values):
        key = keys[number] if keys else None
        producer.produce(topic, value, key, partition, timestamp=kafka_ms)
    assert producer.flush(30) == 0
