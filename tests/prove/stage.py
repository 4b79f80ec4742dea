"""The stage: a topic, a control topic and a database of their own, and small real traffic.

Traffic is folded by the streaming job's own fold and written by its own commit; only Spark's part, the
reading of ranges, is done here.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from include.clock import now_ms
from include.contracts import load_contract
from include.demo.truth import read_served
from include.reconcile.types import HOUR as AN_HOUR
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.fold import Fold
from include.streaming.ledger import LedgerRow, batch_id, read_commit_state
from include.streaming.partials import collect
from include.traffic import generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.run import chunks
from include.traffic.schedule import draw_schedule
from include.traffic.send import Sender
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.conftest import create_topic, platform_settings
from tests.databases import drop_database
from tests.helpers import Record, record_batch
from tests.leftovers import fresh_suffix
from tests.prove.seen import View
from tests.prove.truth import Truth
from tests.reconciling import HOUR, Stream

PARTITIONS = 4
SHARES = {"malformed": 0.005, "schema_breaking": 0.005, "duplicate": 0.02, "late": 0.03}
BATCH_RECORDS = (30, 200)  # of one partition, so that batches share hours and hours share batches
BATCHES_OF_A_GENERATION = (1, 4)


@dataclass
class Stage(Stream):
    """A stream and its traffic; `hours` are those that have some, oldest first."""

    hours: list[datetime] = field(default_factory=list)
    sealed_truth: Truth = field(init=False)

    def __post_init__(self) -> None:
        self.sealed_truth = Truth(self.contract)

    def send_hours(self, chance: random.Random, count: int, events: int) -> None:
        """Send `count` hours of some `events` each, the newest three hours old, and fold them all."""
        self.hours = [HOUR - AN_HOUR * back for back in reversed(range(count))]
        self._send(self._plan(self.hours[0], events / 3600, count * 3600, chance, **SHARES))
        after = HOUR + AN_HOUR + timedelta(seconds=self.contract.lateness_seconds + 60)
        self._send(self._plan(after, 2, 8, chance))
        self.fold_in_batches(chance)

    def send_late(self, chance: random.Random, hours: Iterable[datetime], events: int) -> None:
        """Send further events of some hours; they arrive now."""
        for hour in hours:
            self._send(self._plan(hour, events / 3600, 3600, chance), now=True)
        self.fold_in_batches(chance)

    def _plan(
        self, start: datetime, rate: float, seconds: float, chance: random.Random, **shares: float
    ) -> TrafficPlan:
        seed = chance.randrange(2**32)
        stream = self.contract.stream
        return TrafficPlan(stream=stream, rate=rate, duration=seconds, start=start, seed=seed, **shares)

    def _send(self, plan: TrafficPlan, now: bool = False) -> None:
        assert plan.start is not None, "a stage sends what is past"
        schedule = draw_schedule(plan, round(plan.start.timestamp() * 1e6), PARTITIONS)
        traffic = generator_for(plan.stream).draw(schedule, len(self.sent[0]) + plan.seed % 10**9, plan.seed)
        sender = Sender(self.settings.kafka_bootstrap_servers, self.contract.topic.name)
        for chunk in chunks(schedule, traffic, PARTITIONS):
            sent = replace(chunk, kafka_ms=[now_ms()] * len(chunk.values)) if now else chunk
            sender.send([sent])
            for value, partition, at in zip(sent.values, sent.partitions, sent.kafka_ms, strict=True):
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
                if (cells := found.get(window.replace(minute=0, second=0))) is not None:
                    cells[(window, name, keys)] = served
        return found

    def truth(self, hours: list[datetime]) -> View:
        """Return the cells that these hours must serve once they are sealed, of every cube."""
        self.sealed_truth.learn(self.sent)
        return {hour: self.sealed_truth.cells(hour) for hour in hours}

    def ledger(self) -> dict[tuple[int, int], LedgerRow]:
        """Return the valid ledger rows by batch and partition."""
        return {(r.batch, r.partition): r for r in read_commit_state(self.client, self.contract.stream).rows}


@contextmanager
def open_stage(spark: SparkSession, stream: str) -> Iterator[Stage]:
    """Make everything that a stage of a stream needs on the running platform, and remove it at the end."""
    name = fresh_suffix()
    with ExitStack() as undo:
        settings = platform_settings(
            clickhouse_database=f"test_{name}",
            control_topic=f"test-control-{name}",
            allow_inject_drift=True,
            grace_seconds=0.0,
            artifacts_dir=Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="prove-"))),
        )
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
        contract = load_contract(stream)
        topic = contract.topic.model_copy(update={"name": f"test-{name}"})
        old = {"message.timestamp.before.max.ms": str(2**62)}
        for new in (
            NewTopic(settings.control_topic, 1, 1, config={"retention.ms": "-1"}),
            NewTopic(topic.name, PARTITIONS, 1, config=old),
        ):
            create_topic(admin, new)
            undo.callback(partial(delete_topic, admin, new.topic))
        undo.callback(drop_database, settings)
        prepare_warehouse(settings)
        client = connect(settings)
        undo.callback(client.disconnect)
        yield Stage(settings, client, contract.model_copy(update={"topic": topic}), spark)


def delete_topic(admin: AdminClient, name: str) -> None:
    """Delete a topic and wait for it."""
    admin.delete_topics([name])[name].result(30)
