"""Reads the sampled records of an hour from Kafka: committed ones, within limits of bytes and seconds.

Owns: where the hour's records lie, and how they are fetched. Leaves to others: which of them are
taken (sample.py) and what they hold (raw_frame.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client
from confluent_kafka import Consumer, KafkaException

from include.contracts import Contract
from include.quality.sample import UNLIMITED, plan_sample
from include.reconcile import store
from include.reconcile.raw import RawRecord, SilentError, UndeliveredError, records_of
from include.reconcile.types import HOUR, OffsetRange, epoch
from include.settings import Settings
from include.topics.consumer import committed_consumer
from include.topics.offsets import Offsets
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

MOST_BYTES = 8 * 2**20  # of values and keys; a single larger record of a run is taken all the same
MOST_SECONDS = 60.0
FETCHING: dict[str, str | int] = {
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 20,  # a seek waits for the request in flight
    "max.partition.fetch.bytes": 2**18,
    "fetch.queue.backoff.ms": 10,
}


class SampleError(RuntimeError):
    """Kafka did not deliver the records of a sample that it says it has; the next attempt may succeed."""


@dataclass(frozen=True)
class RawSample:
    """The records, and how many of the planned offsets had expired or lay beyond the topic's end."""

    records: tuple[RawRecord, ...] = ()
    planned: int = 0
    expired: int = 0
    beyond: int = 0


def sample_ranges(client: Client, stream: str, hour: datetime) -> list[OffsetRange]:
    """Return where the hour's records lie by the ledger, up to the frontier of its certificate if it has one."""
    certificate = store.certificates(client, stream, hour, hour + HOUR).get(hour)
    values = {
        "stream": stream,
        "from": store.text(hour),
        "from_ms": epoch(hour) * 1000,
        "to_ms": epoch(hour + HOUR) * 1000,
        "frontier": certificate.frontier if certificate else UNLIMITED,
    }
    return [OffsetRange(*row) for row in client.execute(read_sql("quality/sample_ranges.sql.j2"), values)]


def read_sample(settings: Settings, client: Client, contract: Contract, hour: datetime) -> RawSample:
    """Return the sample of an hour (aware UTC); it is empty where the ledger knows of no record of the hour.

    Raises:
        SampleError: nothing was delivered within MOST_SECONDS.
        BrokerUnreachableError, TopicMissingError: as in include/topics/offsets.py.
    """
    runs = plan_sample(sample_ranges(client, contract.stream, hour), f"{contract.stream}/{hour:%Y-%m-%dT%H}")
    return fetch(settings, contract.topic.name, runs) if runs else RawSample()


def fetch(settings: Settings, topic: str, runs: Sequence[OffsetRange]) -> RawSample:
    """Return the committed records of the runs that Kafka still has; raises as read_sample does."""
    offsets = Offsets(settings, topic)
    starts, ends = offsets.starts(), offsets.ends()
    planned = sum(run.offsets for run in runs)
    expired = sum(min(run.end, max(run.start, starts.get(run.partition, 0))) - run.start for run in runs)
    beyond = sum(run.end - max(run.start, min(run.end, ends.get(run.partition, 0))) for run in runs)
    there = [
        OffsetRange(run.partition, low, high)
        for run in runs
        for low in [max(run.start, starts.get(run.partition, 0))]
        for high in [min(run.end, ends.get(run.partition, 0))]
        if low < high
    ]
    consumer = committed_consumer(settings, "quality-sample", **FETCHING)
    try:
        return RawSample(tuple(_read(consumer, topic, there)), planned, expired, beyond)
    except UndeliveredError as error:
        raise SampleError(str(error)) from error
    except KafkaException as error:
        raise SampleError(f"{topic}: {error}") from error
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, runs: Sequence[OffsetRange]) -> Iterator[RawRecord]:
    limit = time.monotonic() + MOST_SECONDS
    bytes_of_run = MOST_BYTES // max(1, len(runs))
    taken = 0
    for run in runs:
        left = bytes_of_run
        try:
            for record in records_of(consumer, topic, run, lambda: limit - time.monotonic()):
                size = len(record.value or b"") + len(record.key or b"")
                if size > left < bytes_of_run:
                    break
                left -= size
                taken += 1
                yield record
        except SilentError as error:
            if not taken:
                raise SampleError(f"{error} within {MOST_SECONDS:.0f} s") from error
            log.warning(
                "%s: %d records were read in %.0f s, the rest is left out", topic, taken, MOST_SECONDS
            )
            return
