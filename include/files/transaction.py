"""One file's transaction: its records and its marker become visible together, or none of them ever does.

The transactional id derives from stream and digest, so that beginning an attempt ends an earlier one of the same file
for good: it is aborted, or its commit is finished. Only then can the markers be asked what became of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from tenacity import Retrying, retry_if_exception, stop_after_delay

from include.files.markers import PARTITION, Marker
from include.settings import Settings

# While a transaction is open, readers see nothing that came after its first record, live records neither.
HOLD_SECONDS = 30.0
# Kafka ends a transaction that was left open, at the latest after this and its own 10 s of looking.
TRANSACTION_SECONDS = 60
ANSWER_SECONDS = 30.0
POLL_EVERY = 1_000
QUEUE_KBYTES = 64 * 1024

log = logging.getLogger(__name__)


class TransactionError(RuntimeError):
    """A transaction did not come to its end; the next attempt finds out what became of it."""


class TooLongError(ValueError):
    """The records of a file could not be sent within HOLD_SECONDS."""


@dataclass
class Ranges:
    """First and last offset of the acknowledged records by partition."""

    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, offset: int) -> None:
        """Take in one record."""
        self.first[partition] = min(self.first.get(partition, offset), offset)
        self.last[partition] = max(self.last.get(partition, offset), offset)


class Transaction:
    """A transactional producer for one file; without a commit it aborts when it is left.

    Every method raises TransactionError where Kafka refuses or does not answer.
    """

    def __init__(self, settings: Settings, topic: str, transactional_id: str, message_bytes: int) -> None:
        """Connect and end what an earlier attempt left open. message_bytes: what the topic takes as one batch."""
        self.ranges, self._sent, self._acknowledged = Ranges(), 0, 0
        self._topic, self._markers, self._id = topic, settings.files_topic, transactional_id
        self._failure: KafkaError | None = None
        self._open, self._until = False, 0.0
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "client.id": "files",
                "transactional.id": transactional_id,
                "transaction.timeout.ms": TRANSACTION_SECONDS * 1000,
                "delivery.timeout.ms": int(ANSWER_SECONDS * 1000),
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 20,
                "message.max.bytes": message_bytes,
                "queue.buffering.max.kbytes": QUEUE_KBYTES,
                "log_level": 0,  # what matters is in the errors raised here
            }
        )
        self._call("init_transactions", self._producer.init_transactions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._abort()

    def begin(self) -> None:
        """Open the transaction."""
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise TransactionError(f"{self._id}: begin_transaction: {error}") from error
        self._open, self._until = True, time.monotonic() + HOLD_SECONDS

    def send(self, value: bytes, key: bytes | None, partition: int, kafka_ms: int) -> None:
        """Send a record; with a key the partition is the key's.

        Raises:
            TooLongError: HOLD_SECONDS are over.
        """
        place = -1 if key is not None else partition
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, place, timestamp=kafka_ms, on_delivery=self._delivered
                )
                break
            except BufferError:
                self._producer.poll(0.1)
                self._check()
            except KafkaException as error:
                raise TransactionError(
                    f"{self._id}: record {self._sent + 1}: {error.args[0].str()}"
                ) from error
        self._sent += 1
        if self._sent % POLL_EVERY == 0:
            self._producer.poll(0)
            self._check()

    def acknowledge(self) -> Ranges:
        """Wait until every record is acknowledged; return where they are."""
        self._producer.flush(ANSWER_SECONDS)
        self._check()
        if self._acknowledged != self._sent:
            raise TransactionError(
                f"{self._id}: {self._sent - self._acknowledged:,} of {self._sent:,} records were not acknowledged"
            )
        return self.ranges

    def commit(self, marker: Marker) -> None:
        """Add the marker and commit; after an error only the markers know whether it was."""
        value = marker.encode()
        self._producer.produce(self._markers, value, marker.stream.encode(), PARTITION)
        self._call("commit_transaction", self._producer.commit_transaction)
        self._open = False

    def _abort(self) -> None:
        self._open = False
        try:
            self._producer.abort_transaction(ANSWER_SECONDS)
        except KafkaException as error:
            log.warning(
                "%s: not aborted (%s); Kafka does so within %s s", self._id, error, TRANSACTION_SECONDS + 10
            )

    def _call(self, name: str, step: Callable[[float], object]) -> None:
        """Call a step of the protocol until it ends; a time-out may be called again."""
        attempts = Retrying(
            retry=retry_if_exception(_is_retriable), stop=stop_after_delay(ANSWER_SECONDS), reraise=True
        )
        try:
            attempts(step, ANSWER_SECONDS)
        except KafkaException as error:
            raise TransactionError(f"{self._id}: {name}: {error.args[0].str()}") from error

    def _check(self) -> None:
        if self._failure is not None:
            raise TransactionError(
                f"{self._topic}: a record was not acknowledged: {self._failure.str()}"
            ) from KafkaException(self._failure)
        if time.monotonic() > self._until:
            raise TooLongError(
                f"{self._acknowledged:,} records were sent in {HOLD_SECONDS:.0f} s, for which live records may wait: "
                "split the file, for example with `split --lines 500000`"
            )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error
            return
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self._acknowledged += 1
        self.ranges.add(partition, offset)


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and bool(error.args[0].retriable())
