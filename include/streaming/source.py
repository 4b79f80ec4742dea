"""Kafka as Spark and the driver see it: source options, offsets asked of the broker, offsets of a batch."""

from __future__ import annotations

import json
from pathlib import Path

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from include.contracts import Contract
from include.settings import Settings

REQUEST_SECONDS = 30.0

# Larger than the defaults: a third more records a second through Spark's source (design.md section 2).
FETCH_OPTIONS = {
    "kafka.max.partition.fetch.bytes": str(16 * 2**20),
    "kafka.fetch.max.bytes": str(64 * 2**20),
    "kafka.max.poll.records": "20000",
}


class BatchOffsetsError(RuntimeError):
    """Spark's offset log of a batch does not hold what was expected."""


class Offsets:
    """Asks the broker for offsets of one topic, committed records only."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
        self._topic = topic

    def partitions(self) -> list[int]:
        """Return the topic's partitions.

        Raises:
            BatchOffsetsError: the topic does not exist.
        """
        topics = self._admin.list_topics(self._topic, timeout=REQUEST_SECONDS).topics
        found = topics[self._topic]
        if found.error is not None:
            raise BatchOffsetsError(f"topic {self._topic}: {found.error}; run prepare_platform")
        return sorted(found.partitions)

    def starts(self) -> dict[int, int]:
        """Return the log start offset of each partition: what is below has expired."""
        return self._ask(OffsetSpec.earliest())

    def ends(self) -> dict[int, int]:
        """Return the end offset of each partition."""
        return self._ask(OffsetSpec.latest())

    def at_time(self, epoch_ms: int) -> dict[int, int | None]:
        """Return for each partition the first offset whose Kafka timestamp is at least this, None if none is."""
        found = self._ask(OffsetSpec.for_timestamp(epoch_ms))
        return {partition: offset if offset >= 0 else None for partition, offset in found.items()}

    def _ask(self, spec: OffsetSpec) -> dict[int, int]:
        wanted = {TopicPartition(self._topic, partition): spec for partition in self.partitions()}
        answers = self._admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_SECONDS
        )
        return {tp.partition: answer.result().offset for tp, answer in answers.items()}


def source_options(
    settings: Settings, contract: Contract, start: dict[int, int], max_offsets: int
) -> dict[str, str]:
    """Return the options of Spark's Kafka source for a stream that begins at these offsets.

    Loss is not left to Spark to fail on: the driver states in the ledger what had expired unread.
    """
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        "subscribe": contract.topic.name,
        "startingOffsets": json.dumps({contract.topic.name: {str(p): offset for p, offset in start.items()}}),
        "maxOffsetsPerTrigger": str(max_offsets),
        "kafka.isolation.level": "read_committed",
        "failOnDataLoss": "false",
        **FETCH_OPTIONS,
    }


def batch_ends(checkpoint: Path, spark_batch: int, topic: str) -> dict[int, int]:
    """Return the end offset of each partition that Spark planned for a batch, from its offset log.

    Raises:
        BatchOffsetsError: the log holds no offsets of the topic.
    """
    path = checkpoint / "offsets" / str(spark_batch)
    for line in reversed(path.read_text(encoding="utf-8").splitlines()):
        if line.startswith("{"):
            offsets = json.loads(line)
            if topic in offsets:
                return {int(partition): int(offset) for partition, offset in offsets[topic].items()}
    raise BatchOffsetsError(f"{path} holds no offsets of {topic}")
