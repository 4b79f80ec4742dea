"""Reads the raw records of offset ranges without Spark: for ledger rows that are made anew, and for samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from include.reconcile.types import OffsetRange, ReconcileError
from include.settings import Settings
from include.topics.consumer import committed_consumer

TIMEOUT_SECONDS = 30.0


class UndeliveredError(RuntimeError):
    """Kafka did not deliver the records of a range that it says it has; names the range."""


class SilentError(UndeliveredError):
    """Nothing came in time."""


@dataclass(frozen=True)
class RawRecord:
    """A committed record; kafka_ms is its Kafka timestamp in epoch milliseconds."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    kafka_ms: int


def records_of(
    consumer: Consumer, topic: str, span: OffsetRange, seconds_left: Callable[[], float]
) -> Iterator[RawRecord]:
    """Yield the committed records of a range in offset order; offsets that delivered nothing are left out.

    Raises:
        SilentError: no further record came within `seconds_left`, which is asked before each.
        UndeliveredError: Kafka reports an error.
    """
    place = f"{topic}-{span.partition}: offsets {span.start} to {span.end}"
    consumer.assign([TopicPartition(topic, span.partition, span.start)])
    while True:
        seconds = seconds_left()
        message = consumer.poll(seconds) if seconds > 0 else None
        if message is None:
            raise SilentError(f"{place} were not delivered")
        error, offset = message.error(), message.offset()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return
        if error is not None:
            raise UndeliveredError(f"{place}: {error.str()}")
        assert offset is not None
        if offset >= span.end:
            return
        yield RawRecord(span.partition, offset, message.key(), message.value(), message.timestamp()[1])
        if offset == span.end - 1:
            return


def read_records(settings: Settings, topic: str, span: OffsetRange) -> Iterator[RawRecord]:
    """Yield the committed records of a range as `records_of` does.

    Raises:
        ReconcileError: records of the range have expired, or the broker did not deliver them in time.
    """
    consumer = committed_consumer(settings, "ledger-repair", **{"auto.offset.reset": "error"})
    try:
        yield from records_of(consumer, topic, span, lambda: TIMEOUT_SECONDS)
    except SilentError as error:
        raise ReconcileError(f"{error} within {TIMEOUT_SECONDS:.0f} s") from error
    except UndeliveredError as error:
        raise ReconcileError(str(error)) from error
    except KafkaException as error:
        raise ReconcileError(f"{topic}-{span.partition}: {error}") from error
    finally:
        consumer.close()
