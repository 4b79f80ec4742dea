"""What the contenders read: a topic and a database of their own, filled once, and the truth of it.

Owns: creating and removing both, sending in event-time order, the sender's tally. Partitions take
turns, so that a batch holds the same stretch of event time of each and a watermark drops nothing.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from include.contracts import Contract, load_contracts
from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin
from include.traffic import Keyed, Traffic, generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.schedule import Schedule, draw_schedule
from include.traffic.send import Chunk, Sender
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse

STREAM = "ad_events"
PARTITIONS = 4
RATE = 82.0
CHUNK = 20_000
SQL = Path(__file__).parent / "sql"

Key = tuple[int, str, str, str]
Totals = dict[Key, tuple[int, int]]


@dataclass(frozen=True)
class FilledTopic:
    """A topic with `events` records; `value_bytes` is the mean size of a value, uncompressed."""

    settings: Settings
    contract: Contract
    events: int
    value_bytes: float

    @property
    def topic(self) -> str:
        return self.contract.topic.name


@dataclass(frozen=True)
class Workload(FilledTopic):
    """Advertising events. `truth` maps (window start as epoch seconds, event type, country, format) to
    (events, micro-dollars).
    """

    truth: Totals


@contextmanager
def filled_topic(
    platform: Settings, events: int, seed: int, rate: float = RATE, start: datetime | None = None
) -> Iterator[Workload]:
    """Fill a topic of advertising events, beside a database with the obvious job's table; see `own_place`, `fill`.

    Raises:
        BrokerUnreachableError: no broker answers.
        DeliveryError: some records were not acknowledged.
        clickhouse_driver.errors.Error: ClickHouse cannot be reached.
    """
    with own_place(platform, STREAM) as (settings, contract):
        client = connect(settings)
        client.execute((SQL / "obvious.sql").read_text(encoding="utf-8"))
        client.disconnect()
        filled, traffic = fill(settings, contract, events, seed, rate, start)
        yield Workload(settings, contract, events, filled.value_bytes, truth_of(traffic))


@contextmanager
def own_place(platform: Settings, stream: str) -> Iterator[tuple[Settings, Contract]]:
    """Make a topic (lz4, 4 partitions) of the stream, a control topic, a prepared database and a scratch folder.

    Everything is removed at the end. Yields the settings and the contract that lead there.

    Raises:
        BrokerUnreachableError: no broker answers.
        clickhouse_driver.errors.Error: ClickHouse cannot be reached.
    """
    token = uuid.uuid4().hex[:10]
    contracts = {contract.stream: contract for contract in load_contracts()}
    topic = contracts[stream].topic.model_copy(update={"name": f"bench-{token}"})
    contract = contracts[stream] = contracts[stream].model_copy(update={"topic": topic})
    admin = connect_admin(platform)
    with ExitStack() as undo:
        scratch = undo.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        settings = platform.model_copy(
            update={
                "clickhouse_database": f"bench_{token}",
                "control_topic": f"bench-{token}-control",
                "scratch_dir": Path(scratch),
            }
        )
        topics = [
            NewTopic(topic.name, PARTITIONS, 1, config={"compression.type": "lz4"}),
            NewTopic(settings.control_topic, 1, 1),
        ]
        for name, created in admin.create_topics(topics, operation_timeout=REQUEST_SECONDS).items():
            created.result()
            undo.callback(_delete_topic, admin, name)
        undo.callback(_drop_database, settings)
        prepare_warehouse(settings, list(contracts.values()))
        yield settings, contract


def _delete_topic(admin: AdminClient, name: str) -> None:
    admin.delete_topics([name])[name].result()


def _drop_database(settings: Settings) -> None:
    client = connect(settings, database="")
    client.execute(f"DROP DATABASE IF EXISTS {settings.clickhouse_database}")
    client.disconnect()


def fill(
    settings: Settings, contract: Contract, events: int, seed: int, rate: float, start: datetime | None = None
) -> tuple[FilledTopic, Traffic]:
    """Send `events` plain events, `rate` a second of event time; without a `start` they end a minute ago.

    Raises:
        DeliveryError: some records were not acknowledged.
    """
    duration = timedelta(seconds=events / rate)
    start = start or datetime.now(UTC) - duration - timedelta(minutes=1)
    plan = TrafficPlan(
        stream=contract.stream, rate=rate, duration=duration.total_seconds(), start=start, seed=seed
    )
    schedule = draw_schedule(plan, round(start.timestamp() * 1e6), PARTITIONS)
    schedule = replace(schedule, partition=np.arange(plan.events) % PARTITIONS)
    traffic = generator_for(contract.stream).draw(schedule, 0, seed)
    sizes: list[int] = []
    chunks = _chunks(schedule, traffic, plan.events, sizes)
    Sender(settings.kafka_bootstrap_servers, contract.topic.name).send(chunks)
    return FilledTopic(settings, contract, plan.events, sum(sizes) / plan.events), traffic


def _chunks(schedule: Schedule, traffic: Traffic, events: int, sizes: list[int]) -> Iterator[Chunk]:
    for first in range(0, events, CHUNK):
        part = slice(first, min(first + CHUNK, events))
        values = traffic.values(part.start, part.stop)
        keys = traffic.keys(part.start, part.stop) if isinstance(traffic, Keyed) else None
        sizes.append(sum(map(len, values)))
        yield Chunk(values, schedule.partition[part].tolist(), schedule.kafka_ms[part].tolist(), keys=keys)


def truth_of(traffic: Traffic) -> Totals:
    """Return the sender's tally in the form of `Workload.truth`."""
    totals: Totals = {}
    for row in traffic.truth():
        if row.cube != "ad_events":
            continue
        label, figures = json.loads(row.dimensions), json.loads(row.came)
        key = int(row.window_start.timestamp()), label["event_type"], label["country"], label["ad_format"]
        totals[key] = figures["event_count"], figures["revenue"]
    return totals
