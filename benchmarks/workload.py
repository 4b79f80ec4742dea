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

from include.contracts import Contract, load_contract
from include.settings import Settings
from include.topics.admin import REQUEST_SECONDS, connect_admin
from include.traffic import Traffic, generator_for
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
class Workload:
    """A filled topic. `truth` maps (window start as epoch seconds, event type, country, format) to
    (events, micro-dollars); `value_bytes` is the mean size of a value, uncompressed.
    """

    settings: Settings
    contract: Contract
    events: int
    value_bytes: float
    truth: Totals

    @property
    def topic(self) -> str:
        return self.contract.topic.name


@contextmanager
def filled_topic(
    platform: Settings, events: int, seed: int, rate: float = RATE, start: datetime | None = None
) -> Iterator[Workload]:
    """Make a topic (lz4, 4 partitions) and a database, send `events`; remove everything at the end.

    `rate` is in events a second of event time; without a `start` they end a minute ago.

    Raises:
        BrokerUnreachableError: no broker answers.
        DeliveryError: some records were not acknowledged.
        clickhouse_driver.errors.Error: ClickHouse cannot be reached.
    """
    token = uuid.uuid4().hex[:10]
    contract = load_contract(STREAM)
    contract = contract.model_copy(
        update={"topic": contract.topic.model_copy(update={"name": f"bench-{token}"})}
    )
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
            NewTopic(contract.topic.name, PARTITIONS, 1, config={"compression.type": "lz4"}),
            NewTopic(settings.control_topic, 1, 1),
        ]
        for name, created in admin.create_topics(topics, operation_timeout=REQUEST_SECONDS).items():
            created.result()
            undo.callback(_delete_topic, admin, name)
        undo.callback(_drop_database, settings)
        _prepare(settings, contract)
        value_bytes, truth = _fill(settings, contract.topic.name, events, seed, rate, start)
        yield Workload(settings, contract, events, value_bytes, truth)


def _delete_topic(admin: AdminClient, name: str) -> None:
    admin.delete_topics([name])[name].result()


def _drop_database(settings: Settings) -> None:
    client = connect(settings, database="")
    client.execute(f"DROP DATABASE IF EXISTS {settings.clickhouse_database}")
    client.disconnect()


def _prepare(settings: Settings, contract: Contract) -> None:
    prepare_warehouse(settings, [contract])
    client = connect(settings)
    client.execute((SQL / "obvious.sql").read_text(encoding="utf-8"))
    client.disconnect()


def _fill(
    settings: Settings, topic: str, events: int, seed: int, rate: float, start: datetime | None
) -> tuple[float, Totals]:
    duration = timedelta(seconds=events / rate)
    start = start or datetime.now(UTC) - duration - timedelta(minutes=1)
    plan = TrafficPlan(rate=rate, duration=duration.total_seconds(), start=start, seed=seed)
    schedule = draw_schedule(plan, round(start.timestamp() * 1e6), PARTITIONS)
    schedule = replace(schedule, partition=np.arange(plan.events) % PARTITIONS)
    traffic = generator_for(STREAM).draw(schedule, 0, seed)
    sizes: list[int] = []
    Sender(settings.kafka_bootstrap_servers, topic).send(_chunks(schedule, traffic, plan.events, sizes))
    return sum(sizes) / plan.events, truth_of(traffic)


def _chunks(schedule: Schedule, traffic: Traffic, events: int, sizes: list[int]) -> Iterator[Chunk]:
    for first in range(0, events, CHUNK):
        part = slice(first, min(first + CHUNK, events))
        values = traffic.values(part.start, part.stop)
        sizes.append(sum(map(len, values)))
        yield Chunk(values, schedule.partition[part].tolist(), schedule.kafka_ms[part].tolist())


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
