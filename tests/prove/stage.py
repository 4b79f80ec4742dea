"""The stage: a topic, a control topic and a database of their own, small real traffic, and what must be served of it.

Traffic is folded by the streaming job's own fold and written by its own commit; only Spark's part, the
reading of ranges, is done here.
"""

from __future__ import annotations

import json
import random
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.contracts.classifier import Classifier, Event
from include.demo.truth import read_served
from include.reconcile.types import HOUR as AN_HOUR
from include.reconcile.types import from_epoch
from include.settings import PREFIX, Settings
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.fold import Fold
from include.streaming.ledger import LedgerRow, batch_id, read_commit_state
from include.streaming.partials import collect
from include.traffic import generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.schedule import draw_schedule
from include.traffic.send import Chunk, Sender
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.conftest import create_topic, platform_environment
from tests.helpers import Record, add_event, record_batch
from tests.prove.seen import Cells, View
from tests.reconciling import HOUR, Stream

PARTITIONS = 4
SHARES = {"malformed": 0.005, "schema_breaking": 0.005, "duplicate": 0.02, "late": 0.03}
BATCH_RECORDS = (30, 200)  # of one partition, so that batches share hours and hours share batches
BATCHES_OF_A_GENERATION = (1, 4)

Copy = tuple[
    tuple[int, int, int], Event, Record
]  # order among copies of an identity, what it holds, where it lies


@dataclass
class Stage(Stream):
    """A stream whose hours end with `last`; `hours` are those that have traffic, oldest first."""

    hours: list[datetime] = field(default_factory=list)
    judged: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    once: dict[datetime, dict[object, Copy]] = field(default_factory=dict)

    def send_hours(self, chance: random.Random, count: int, events: int) -> None:
        """Send `count` hours of some `events` each, the newest three hours old, and fold them all."""
        self.hours = [HOUR - AN_HOUR * back for back in reversed(range(count))]
        plan = TrafficPlan(
            rate=events / 3600,
            duration=count * 3600,
            start=self.hours[0],
            seed=chance.randrange(2**32),
            **SHARES,
        )
        self._send(plan, self.hours[0])
        after = HOUR + timedelta(minutes=62)
        self._send(TrafficPlan(rate=2, duration=8, start=after, seed=1), after)
        self.fold_in_batches(chance)

    def send_late(self, chance: random.Random, hours: Iterable[datetime], events: int) -> None:
        """Send further events of some hours; they arrive now."""
        for hour in hours:
            plan = TrafficPlan(rate=events / 3600, duration=3600, start=hour, seed=chance.randrange(2**32))
            self._send(plan, hour, now=True)
        self.fold_in_batches(chance)

    def _send(self, plan: TrafficPlan, start: datetime, now: bool = False) -> None:
        schedule = draw_schedule(plan, round(start.timestamp() * 1e6), PARTITIONS)
        traffic = generator_for("ad_events").draw(schedule, len(self.sent[0]) + plan.seed % 10**9, plan.seed)
        moment = int(datetime.now(UTC).timestamp() * 1000)
        times = [moment] * plan.events if now else schedule.kafka_ms.tolist()
        chunk = Chunk(traffic.values(0, plan.events), schedule.partition.tolist(), times)
        Sender(self.settings.kafka_bootstrap_servers, self.contract.topic.name).send([chunk])
        for value, partition, at in zip(chunk.values, chunk.partitions, chunk.kafka_ms, strict=True):
            self.sent[partition].append((value, at))

    def restart(self) -> None:
        """Let a new driver take the stream over."""
        self.start()
        self.batches = 0

    def fold_in_batches(self, chance: random.Random) -> None:
        """Fold all that was sent in batches and generations of random length, as drivers come and go."""
        left = 0
        while any(self.folded[p] < len(records) for p, records in self.sent.items()):
            if not left:
                self.restart()
                left = chance.randint(*BATCHES_OF_A_GENERATION)
            left -= 1
            ends = {
                p: min(len(records), self.folded[p] + chance.randint(*BATCH_RECORDS))
                for p, records in self.sent.items()
            }
            self.fold_to(ends)

    def fold_what_was_sent(self) -> None:
        """Fold what others sent to the topic, as the running driver would."""
        self.take_from_topic()
        ends = {partition: len(records) for partition, records in self.sent.items()}
        if ends != self.folded:
            self.fold_to(ends)

    def fold_to(self, ends: dict[int, int]) -> None:
        """Fold each partition up to an offset with the streaming job's fold, and commit that as one batch."""
        ranges = {p: (self.folded[p], end) for p, end in ends.items() if end > self.folded[p]}
        tasks = [
            record_batch([Record(*self._record(p, offset)) for offset in range(start, end)])
            for p, (start, end) in ranges.items()
        ]
        rows = [
            pair
            for task in tasks
            for out in Fold(self.contract)(iter([task]))
            for pair in zip(out.column("kind").to_pylist(), out.column("payload").to_pylist(), strict=True)
        ]
        results = collect(self.contract, rows)
        batch = batch_id(self.generation, self.batches)
        self.batches += 1
        ledger = ledger_rows(self.contract, batch, ranges, dict.fromkeys(self.sent, 0), results)
        write_batch(self.client, self.contract, batch, results, ledger)
        self.folded |= ends

    def _record(self, partition: int, offset: int) -> tuple[bytes | None, int, int, int]:
        value, at = self.sent[partition][offset]
        return value, partition, offset, at

    def view(self, hours: list[datetime]) -> View:
        """Return the cells that are served of these hours, of every cube."""
        found: View = {hour: {} for hour in hours}
        for cube in self.contract.cubes:
            for (name, window, keys), served in read_served(self.client, self.contract, cube).items():
                window = window.replace(tzinfo=UTC)
                if (cells := found.get(window.replace(minute=0))) is not None:
                    cells[(window, name, keys)] = served
        return found

    def truth(self, hours: list[datetime]) -> View:
        """Return the cells that a sealed hour must serve, of every cube, from what was sent: each identity once."""
        classifier = Classifier(self.contract)
        for partition, records in self.sent.items():
            for offset in range(self.judged[partition], len(records)):
                value, at = records[offset]
                outcome = classifier.classify(value, at)
                if isinstance(outcome, Event):
                    self._count(outcome, Record(value, partition, offset, at))
            self.judged[partition] = len(records)
        return {hour: self._cells(hour) for hour in hours}

    def _count(self, event: Event, record: Record) -> None:
        hour = datetime.fromtimestamp(event.time_us // 1_000_000, UTC).replace(minute=0, second=0)
        order = record.kafka_ms, record.partition, record.offset
        held = self.once.setdefault(hour, {})
        identity = event.values["event_id"]
        if identity not in held or order < held[identity][0]:
            held[identity] = (order, event, record)

    def _cells(self, hour: datetime) -> Cells:
        found: Cells = {}
        for cube in self.contract.cubes:
            cells: dict[tuple[Any, ...], list[int]] = {}
            for _, event, record in self.once.get(hour, {}).values():
                add_event(self.contract, cube, cells, event, record)
            names = [measure.name for measure in cube.measures]
            for (pane, *dimensions), figures in cells.items():
                keys = dict(sorted(zip(cube.dimensions, dimensions, strict=True)))
                key = from_epoch(pane), cube.name, json.dumps(keys, separators=(",", ":"))
                found[key] = "sealed", dict(zip(names, figures, strict=True))
        return found

    def ledger(self) -> dict[tuple[int, int], LedgerRow]:
        """Return the valid ledger rows by batch and partition."""
        return {(r.batch, r.partition): r for r in read_commit_state(self.client, "ad_events").rows}


@contextmanager
def open_stage(spark: SparkSession) -> Iterator[Stage]:
    """Make everything that a stage needs on the running platform, and remove it at the end."""
    name = uuid.uuid4().hex[:12]
    values = {key.removeprefix(PREFIX).lower(): value for key, value in platform_environment().items()}
    known = {key: value for key, value in values.items() if key in Settings.model_fields}
    with ExitStack() as undo:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="prove-"))
        own: dict[str, Any] = {
            "clickhouse_database": f"prove_{name}",
            "control_topic": f"prove-control-{name}",
            "allow_inject_drift": True,
            "grace_seconds": 0.0,
            "artifacts_dir": Path(folder),
        }
        settings = Settings(**{**known, **own})
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
        contract = load_contract("ad_events")
        topic = contract.topic.model_copy(update={"name": f"prove-{name}"})
        old = {"message.timestamp.before.max.ms": str(2**62)}
        for new in (
            NewTopic(settings.control_topic, 1, 1, config={"retention.ms": "-1"}),
            NewTopic(topic.name, PARTITIONS, 1, config=old),
        ):
            create_topic(admin, new)
            undo.callback(partial(delete_topic, admin, new.topic))
        prepare_warehouse(settings)
        client = connect(settings)
        undo.callback(client.disconnect)
        undo.callback(client.execute, f"DROP DATABASE {settings.clickhouse_database}")
        yield Stage(settings, client, contract.model_copy(update={"topic": topic}), spark)


def delete_topic(admin: AdminClient, name: str) -> None:
    """Delete a topic and wait for it."""
    admin.delete_topics([name])[name].result(30)
