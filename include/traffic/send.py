"""Sends records to Kafka with a partition and a Kafka timestamp of the generator's choice.

Owns: the producer, pacing, and delivery: a record that the broker does not acknowledge is an
error. Leaves to others: what is sent (the generators) and when it is due (schedule.py).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from include.clock import now_ms

CONTACT_SECONDS = 10.0
DELIVERY_SECONDS = 60.0
POLL_EVERY = 1000


class BrokerUnreachableError(ConnectionError):
    """No broker answered."""


class TopicMissingError(LookupError):
    """The topic does not exist."""


class DeliveryError(RuntimeError):
    """Records were not acknowledged by the broker."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive records: values, partitions and Kafka timestamps (epoch ms) of equal length.

    `due_us` holds the epoch microseconds before which a record must not be sent; none sends at once.
    `keys` are Kafka's; none is for records without.
    """

    values: list[bytes]
    partitions: list[int]
    kafka_ms: list[int]
    due_us: list[int] | None = None
    keys: list[bytes] | None = None


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that librdkafka's default partitioner gives to a key."""
    return zlib.crc32(key) % partitions


class Sender:
    """An idempotent producer for one topic; every failed delivery is counted, the first is named."""

    def __init__(
        self, bootstrap_servers: str, topic: str, delivery_seconds: float = DELIVERY_SECONDS
    ) -> None:
        """`delivery_seconds` is how long the broker may be away before records count as failed."""
        self.topic = topic
        self._patience = delivery_seconds
        self.failed = 0
        self.first_failure = ""
        self._servers = bootstrap_servers
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "traffic",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 5,
                "delivery.timeout.ms": int(delivery_seconds * 1000),
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )

    def count_partitions(self) -> int:
        """Return the number of partitions of the topic.

        Raises:
            BrokerUnreachableError, TopicMissingError
        """
        try:
            # Every topic is listed: asking for one by name may create it.
            topics = self._producer.list_topics(timeout=CONTACT_SECONDS).topics
        except KafkaException as error:
            raise BrokerUnreachableError(
                f"no Kafka broker at {self._servers} answered within {CONTACT_SECONDS:g} s: is the platform up?"
            ) from error
        if self.topic not in topics:
            raise TopicMissingError(
                f"topic {self.topic} does not exist at {self._servers}: run prepare_platform"
            )
        return len(topics[self.topic].partitions)

    def send(self, chunks: Iterable[Chunk]) -> list[int]:
        """Send every record and wait for the acknowledgements; return when each was handed over, epoch ms.

        Raises:
            DeliveryError: how many records failed, and the first failure.
        """
        handed: list[int] = []
        for chunk in chunks:
            due = chunk.due_us or [0] * len(chunk.values)
            keys: Sequence[bytes | None] = chunk.keys or [None] * len(chunk.values)
            for value, key, partition, kafka_ms, due_us in zip(
                chunk.values, keys, chunk.partitions, chunk.kafka_ms, due, strict=True
            ):
                if due_us:
                    self._wait_until(due_us)
                self._produce(value, key, partition, kafka_ms)
                handed.append(now_ms())
                if len(handed) % POLL_EVERY == 0:
                    self._producer.poll(0)
                if self.failed:
                    break
            if self.failed:
                break
        unacknowledged = self._producer.flush(self._patience + 5)
        if self.failed or unacknowledged:
            raise DeliveryError(
                f"topic {self.topic}: of {len(handed):,} records {self.failed:,} failed and {unacknowledged:,} were "
                f"not acknowledged; first failure: {self.first_failure or 'no answer from the broker'}"
            )
        return handed

    def _produce(self, value: bytes, key: bytes | None, partition: int, kafka_ms: int) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._producer.produce(self.topic, value, key, partition, timestamp=kafka_ms)
                return
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise DeliveryError(
                        f"topic {self.topic}: the producer's queue stayed full for {self._patience:g} s; "
                        f"first failure: {self.first_failure or 'none reported'}"
                    ) from error
                self._producer.poll(0.1)
            except KafkaException as error:
                self._note(error.args[0], partition, kafka_ms)
                return

    def _wait_until(self, due_us: int) -> None:
        while (left := due_us / 1e6 - time.time()) > 0:
            self._producer.poll(left)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._note(error, message.partition(), message.timestamp()[1])

    def _note(self, error: KafkaError, partition: int | None, kafka_ms: int) -> None:
        self.failed += 1
        if not self.first_failure:
            self.first_failure = f"{error.str()} (partition {partition}, Kafka timestamp {kafka_ms} ms)"
