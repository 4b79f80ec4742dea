"""Reads the raw records of one offset range without Spark: for ledger rows that are made anew, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from include.reconcile.types import OffsetRange, ReconcileError
from include.settings import Settings

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class RawRecord:
    """A committed record; kafka_ms is its Kafka timestamp in epoch milliseconds."""

    offset: int
    value: bytes | None
    kafka_ms: int


def read_records(settings: Settings, topic: str, span: OffsetRange) -> Iterator[RawRecord]:
    """Yield the committed records of a range in offset order; offsets that delivered nothing are left out.

    Raises:
        ReconcileError: records of the range have expired, or the broker did not deliver them in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "ledger-repair",  # required by the client; nothing is ever committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, span.partition, span.start)])
        while True:
            message = consumer.poll(TIMEOUT_SECONDS)
            if message is None:
                raise ReconcileError(
                    f"{topic}-{span.partition}: offsets {span.start} to {span.end} were not delivered "
                    f"within {TIMEOUT_SECONDS:.0f} s"
                )
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                raise ReconcileError(
                    f"{topic}-{span.partition}: offsets {span.start} to {span.end}: {error.str()}"
                )
            offset = message.offset()
            assert offset is not None
            if offset >= span.end:
                return
            yield RawRecord(offset, message.value(), message.timestamp()[1])
            if offset == span.end - 1:
                return
    except KafkaException as error:
        raise ReconcileError(f"{topic}-{span.partition}: {error}") from error
    finally:
        consumer.close()
