"""The markers: which files are in a stream's topic. One record for each, sent in the file's own transaction.

A marker is in its topic if and only if the records of its file are in theirs, so it is the truth that a later
attempt asks; the ClickHouse table `files` is its copy for readers.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import msgspec
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin
from include.topics.consumer import committed_consumer
from include.topics.offsets import TopicMissingError

PARTITION = 0
POLL_SECONDS = 1.0


class MarkersError(RuntimeError):
    """The markers could not be read to their end; trigger again."""


@dataclass(frozen=True)
class Marker:
    """A published file; size is its bytes. first_offsets and last_offsets belong to `partitions`; published_ms is epoch milliseconds."""

    stream: str
    topic: str
    name: str
    digest: str
    size: int
    records: int
    blank: int
    timestamps: str
    partitions: list[int]
    first_offsets: list[int]
    last_offsets: list[int]
    run: str
    published_ms: int

    def encode(self) -> bytes:
        """Return the marker as the value of its record."""
        return msgspec.json.encode(asdict(self))


class MarkerLog:
    """Follows the topic of markers from its beginning."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Raises:
            BrokerUnreachableError, TopicMissingError
        """
        self._topic = settings.files_topic
        self._admin: AdminClient = connect_admin(settings)
        if self._topic not in self._admin.list_topics(timeout=REQUEST_SECONDS).topics:
            raise TopicMissingError(self._topic)
        self._consumer = committed_consumer(settings, "files", log_level=0)
        self._consumer.assign([TopicPartition(self._topic, PARTITION, 0)])
        self._next = 0
        self._found: dict[tuple[str, str], Marker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def of_stream(self, stream: str) -> dict[str, Marker]:
        """Return the markers of a stream that were read so far, by digest."""
        return {digest: marker for (own, digest), marker in self._found.items() if own == stream}

    def read(self, wait_seconds: float) -> None:
        """Read all that is committed, after waiting for transactions that are open now and may hold markers back.

        Raises:
            MarkersError: they did not end within the limit, or Kafka did not deliver.
        """
        try:
            end, limit = self._end(), time.monotonic() + wait_seconds
            while self._next < end:
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None:
                    self._take(message)
                elif time.monotonic() > limit:
                    raise MarkersError(
                        f"{self._topic} could be read to offset {self._next} of {end} within {wait_seconds:.0f} s: the "
                        "transaction of another run is still open; trigger again"
                    )
        except KafkaException as error:
            raise MarkersError(f"{self._topic}: {error}; trigger again") from error

    def _end(self) -> int:
        """Return the offset after the last record, committed or not."""
        where = TopicPartition(self._topic, PARTITION)
        asked = self._admin.list_offsets(
            {where: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_SECONDS,
        )
        return int(asked[where].result().offset)

    def _take(self, message: Message) -> None:
        error, offset = message.error(), message.offset()
        assert offset is not None
        if error is None:
            marker = msgspec.json.decode(message.value() or b"", type=Marker)
            self._found[marker.stream, marker.digest] = marker
            self._next = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self._next = max(self._next, offset)  # past the end marks of transactions, which are no records
        else:
            raise KafkaException(error)
