"""Reads single records from Kafka by partition and offset: the stored payload of a dead letter may be cut."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from include.replay.letters import Letter
from include.settings import Settings
from include.topics.consumer import committed_consumer
from include.topics.offsets import Offsets

TIMEOUT_SECONDS = 30.0
READ_THROUGH = (
    20_000  # records between two wanted ones that are read rather than jumped over, which costs 0.5 s
)
EXPIRED, GONE, ANOTHER = "expired in Kafka", "not in Kafka", "another record in Kafka"

Place = tuple[int, int]


class OriginalsError(RuntimeError):
    """Kafka did not deliver records that it says it has; the next attempt may succeed."""


class Missing(str):
    """Why the record of a dead letter cannot be had: EXPIRED, GONE or ANOTHER."""


def read_originals(
    settings: Settings, topic: str, letters: Iterable[Letter]
) -> dict[Place, bytes | Missing | None]:
    """Return the value of each letter's record by (partition, offset), or why it cannot be had.

    What Kafka holds at the offset must be the bytes whose SHA-256 the letter carries: a topic that was
    recreated holds others.

    Raises:
        OriginalsError: records were not delivered in time.
        BrokerUnreachableError, TopicMissingError: as in include/topics/offsets.py.
    """
    starts = Offsets(settings, topic).starts()
    by_partition: dict[int, list[Letter]] = {}
    found: dict[Place, bytes | Missing | None] = {}
    for letter in sorted(letters, key=lambda letter: (letter.partition, letter.offset)):
        place = letter.partition, letter.offset
        found[place] = Missing(GONE)
        if letter.offset < starts.get(letter.partition, 0):
            found[place] = Missing(EXPIRED)
        elif letter.partition in starts:
            by_partition.setdefault(letter.partition, []).append(letter)
    consumer = committed_consumer(settings, "dead-letters", **{"auto.offset.reset": "error"})
    try:
        for partition, wanted in by_partition.items():
            found |= _read_partition(consumer, topic, partition, wanted)
    except KafkaException as error:
        raise OriginalsError(f"{topic}: {error}") from error
    finally:
        consumer.close()
    return found


def _read_partition(
    consumer: Consumer, topic: str, partition: int, wanted: list[Letter]
) -> dict[Place, bytes | Missing | None]:
    found: dict[Place, bytes | Missing | None] = {}
    position = -READ_THROUGH - 1
    index = 0
    while index < len(wanted):
        letter = wanted[index]
        if letter.offset - position > READ_THROUGH:
            consumer.assign([TopicPartition(topic, partition, letter.offset)])
        message = consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            raise OriginalsError(
                f"{topic}-{partition}: offset {letter.offset} was not delivered within {TIMEOUT_SECONDS:.0f} s"
            )
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return found
        if error is not None:
            raise OriginalsError(f"{topic}-{partition}: offset {letter.offset}: {error.str()}")
        position = int(message.offset() or 0)
        while index < len(wanted) and wanted[index].offset < position:
            index += 1  # compacted away
        if index < len(wanted) and wanted[index].offset == position:
            found[partition, position] = _checked(wanted[index], message.value())
            index += 1
    return found


def _checked(letter: Letter, value: bytes | None) -> bytes | Missing | None:
    return value if sha256(value or b"").hexdigest() == letter.sha256 else Missing(ANOTHER)
