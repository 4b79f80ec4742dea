"""Asks Kafka for offsets: first, end (of committed records) and by time. Reads nothing else."""

from __future__ import annotations

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from include.reconcile.types import ReconcileError
from include.settings import Settings

TIMEOUT_SECONDS = 30.0


class KafkaOffsets:
    """Offsets of the partitions of one topic, by partition number."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
        self._topic = topic
        metadata = self._admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if metadata.error is not None:
            raise ReconcileError(f"topic {topic}: {metadata.error}; run prepare_platform first")
        self.partitions = sorted(metadata.partitions)

    def first(self) -> dict[int, int]:
        """Return the log start offset of each partition."""
        return self._ask(OffsetSpec.earliest())

    def end(self) -> dict[int, int]:
        """Return the offset after the last committed record of each partition."""
        return self._ask(OffsetSpec.latest())

    def at(self, epoch_ms: int) -> dict[int, int | None]:
        """Return the offset of the first record with a Kafka time at or past `epoch_ms`, None where there is none."""
        found = self._ask(OffsetSpec.for_timestamp(epoch_ms))
        return {partition: offset if offset >= 0 else None for partition, offset in found.items()}

    def _ask(self, spec: OffsetSpec) -> dict[int, int]:
        answers = self._admin.list_offsets(
            {TopicPartition(self._topic, partition): spec for partition in self.partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=TIMEOUT_SECONDS,
        )
        return {where.partition: answer.result(TIMEOUT_SECONDS).offset for where, answer in answers.items()}
