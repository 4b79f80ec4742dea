"""The control topic: one partition that hands out unique, ordered numbers.

A claim's offset + 1 is a generation of a stream's driver; a seal record's is a seal number.
Seal records never fence. Kafka agrees with itself about offsets, so no other lock is needed.
A claim names its owner, so that a driver knows its own claim whose acknowledgement it never saw.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from include.settings import Settings
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets, TopicMissingError

CLAIM, SEAL = "claim", "seal"
TIMEOUT_SECONDS = 30


class ControlTopicError(RuntimeError):
    """The control topic did not answer, or its content cannot be ours."""


class ControlTopicSilentError(ControlTopicError):
    """No answer within 30 s: it may come when Kafka is back."""


@dataclass(frozen=True)
class Claim:
    """A claim of a stream: its generation, 1 or more, and who made it; generation 0 is no claim."""

    generation: int
    owner: str


NOBODY = Claim(0, "")


class ControlLog:
    """Follows the control topic from its beginning and knows the newest claim of each stream."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.control_topic
        # Not asked of the consumer, whose connection answers only after its fetch, up to half a second later.
        self._offsets = Offsets(settings, self._topic)
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "group.id": "control-reader",  # required by the client; nothing is ever committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,  # what matters of a lost connection is in the errors raised here
            }
        )
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])
        self._next = 0
        self._newest: dict[str, Claim] = {}

    def newest_claim(self, stream: str) -> int:
        """Return the newest generation claimed for a stream, 0 when there is none; raises as `newest` does."""
        return self.newest(stream).generation

    def newest(self, stream: str) -> Claim:
        """Return the newest claim of a stream, NOBODY's when there is none.

        Raises:
            ControlTopicError: the end of the topic was not reached within 30 s.
        """
        try:
            end = self._offsets.ends()[0]
            if end < self._next:
                raise ControlTopicError(f"{self._topic} ends at {end}, before {self._next}: it was recreated")
            while self._next < end:
                messages = self._consumer.consume(
                    num_messages=min(1000, end - self._next), timeout=TIMEOUT_SECONDS
                )
                if not messages:
                    raise ControlTopicSilentError(
                        f"{self._topic}: nothing read at offset {self._next} in {TIMEOUT_SECONDS} s"
                    )
                for message in messages:
                    self._take(message)
        except (KafkaException, BrokerUnreachableError, TopicMissingError) as error:
            raise ControlTopicError(f"{self._topic}: {error}") from error
        return self._newest.get(stream, NOBODY)

    def _take(self, message: Message) -> None:
        if message.error():
            raise KafkaException(message.error())
        offset = message.offset()
        assert offset is not None
        record = json.loads(message.value() or b"{}")
        if record.get("kind") == CLAIM:
            self._newest[record["stream"]] = Claim(offset + 1, record.get("owner", ""))
        self._next = offset + 1

    def close(self) -> None:
        """End the connections; nothing can be asked any more."""
        self._consumer.close()
        del self._offsets  # its connection ends with it


def claim(settings: Settings, stream: str, owner: str = "") -> int:
    """Claim a stream for a new query start of `owner` and return its generation, 1 or more.

    Raises:
        ControlTopicError: not acknowledged within 30 s; the claim may be in the topic all the same.
    """
    return _append(settings, {"kind": CLAIM, "stream": stream, "owner": owner})


def draw_seal(settings: Settings, stream: str, hour: datetime) -> int:
    """Return a seal number that nobody else has."""
    return _append(settings, {"kind": SEAL, "stream": stream, "hour": hour.isoformat()})


def newest_claim(settings: Settings, stream: str) -> int:
    """Return the newest generation claimed for a stream now, 0 when there is none."""
    control = ControlLog(settings)
    try:
        return control.newest_claim(stream)
    finally:
        control.close()


def _append(settings: Settings, record: dict[str, str]) -> int:
    servers = settings.kafka_bootstrap_servers
    delivered: Future[tuple[KafkaError | None, int | None]] = Future()
    producer = _producer(servers)
    producer.produce(
        settings.control_topic,
        value=json.dumps(record).encode(),
        partition=0,
        on_delivery=lambda error, message: delivered.set_result((error, message.offset())),
    )
    producer.flush(TIMEOUT_SECONDS + 5)
    try:
        # Another thread's flush may be handing the answer over at this moment.
        error, offset = delivered.result(timeout=1)
    except TimeoutError:
        _forget(servers)
        raise ControlTopicSilentError(
            f"{settings.control_topic}: no answer to {record} within {TIMEOUT_SECONDS} s"
        ) from None
    if error is not None or offset is None:
        _forget(servers)
        cause = KafkaException(error) if error is not None else None
        raise ControlTopicError(f"{settings.control_topic}: {record} was refused: {error}") from cause
    return offset + 1


# By process, since a producer does not survive a fork, and by servers.
_producers: dict[tuple[int, str], Producer] = {}


def _producer(servers: str) -> Producer:
    """Return this process's producer: librdkafka gives a new idempotent one its id after a fixed 0.5 s."""
    key = (os.getpid(), servers)
    if key not in _producers:
        _producers[key] = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": TIMEOUT_SECONDS * 1000,
                "reconnect.backoff.max.ms": 500,  # a broker that is back is found at once, as by a new producer
                "log_level": 0,
            }
        )
    return _producers[key]


def _forget(servers: str) -> None:
    """Begin the next time with a new producer: this one may have failed for good, or hold what it never sent."""
    _producers.pop((os.getpid(), servers), None)
