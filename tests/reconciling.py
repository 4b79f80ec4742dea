"""A stream with a topic of its own, a driver in plain Python, and the reconciliation run on it step by step."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_driver import Client
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.contracts.classifier import Classifier, Event
from include.reconcile.candidates import stored
from include.reconcile.judging import judge_run
from include.reconcile.plan import make_plans
from include.reconcile.raw import read_records
from include.reconcile.recount import recount_run
from include.reconcile.report import HourLine
from include.reconcile.seal import seal_run
from include.reconcile.types import OffsetRange, from_epoch
from include.settings import Settings
from include.streaming.control import claim
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, take_over
from include.topics.offsets import Offsets
from tests.helpers import Record, add_event

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
SERVED = (
    "SELECT sum(event_count), toInt64(sum(total_revenue) * 1000000), min(status), max(status) "
    "FROM ad_events_aggregated WHERE toStartOfHour(window_start) = %(hour)s"
)


def event(number: int, moment: datetime, **changes: object) -> dict[str, object]:
    clicked = number % 5 == 0
    return {
        "event_id": f"E{number}",
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "user_id": f"U{number % 7}",
        "campaign_id": "C1",
        "ad_format": ("banner", "interstitial", "rewarded_video")[number % 3],
        "country": ("US", "KR", "DE")[number % 3],
        "device": "iOS",
        "event_type": "click" if clicked else "impression",
        "revenue": round(0.01 + number % 10 / 1000, 4) if clicked else 0,
        **changes,
    }


@dataclass
class Stream:
    """A stream with a topic of its own, and a driver that does what a driver must, in plain Python."""

    settings: Settings
    client: Client
    contract: Contract
    spark: SparkSession
    generation: int = 0
    batches: int = 0
    sent: dict[int, list[tuple[bytes | None, int]]] = field(default_factory=lambda: {p: [] for p in range(4)})
    folded: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(4), 0))

    def start(self) -> None:
        self.generation = claim(self.settings, self.contract.stream)
        take_over(self.client, self.contract.stream, self.generation)

    def send(self, records: list[tuple[bytes | None, datetime]]) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "acks": "all"})
        for index, (value, moment) in enumerate(records):
            at = int(moment.timestamp() * 1000)
            producer.produce(self.contract.topic.name, value, partition=index % 4, timestamp=at)
            self.sent[index % 4].append((value, at))
        assert producer.flush(30) == 0

    def fold(self, reject_offset: tuple[int, int] | None = None) -> int:
        """Fold all that was sent and not yet folded as one batch; return its id."""
        batch = batch_id(self.generation, self.batches)
        self.batches += 1
        classifier = Classifier(self.contract)
        events: list[tuple[Event, Record]] = []
        rows = []
        for partition, records in self.sent.items():
            start = self.folded[partition]
            hours: dict[datetime, list[int]] = {}
            accepted = rejected = late = 0
            for offset in range(start, len(records)):
                value, at = records[offset]
                outcome = classifier.classify(value, at)
                if not isinstance(outcome, Event) or (partition, offset) == reject_offset:
                    rejected += 1
                    continue
                accepted += 1
                events.append((outcome, Record(value, partition, offset, at)))
                late += at * 1000 - outcome.time_us > self.contract.lateness_seconds * 1_000_000
                seconds = outcome.time_us // 1_000_000
                hours.setdefault(datetime.fromtimestamp(seconds - seconds % 3600, UTC), []).append(offset)
            times = [at for _, at in records[start:]] or [0]
            listed = sorted(hours)
            rows.append(
                LedgerRow(
                    *(self.contract.stream, batch, partition, start, start, len(records)),
                    *(accepted, rejected, late, 0),
                    hours=listed,
                    hour_events=[len(hours[hour]) for hour in listed],
                    hour_first=[hours[hour][0] for hour in listed],
                    hour_last=[hours[hour][-1] for hour in listed],
                    kafka_time_min=min(times),
                    kafka_time_max=max(times),
                    contract_version=self.contract.version,
                )
            )
            self.folded[partition] = len(records)
        self.write_deltas(batch, events)
        insert_ledger_rows(self.client, rows)
        return batch

    def write_deltas(self, batch: int, events: list[tuple[Event, Record]]) -> None:
        """Write what a batch adds to every cube."""
        for cube in self.contract.cubes:
            cells: dict[tuple[Any, ...], list[int]] = {}
            for found, record in events:
                delay_us = record.kafka_ms * 1000 - found.time_us
                if cube.only != "late" or delay_us > self.contract.lateness_seconds * 1_000_000:
                    add_event(self.contract, cube, cells, found, record)
            rows = [
                (from_epoch(window), *stored(cube, dimensions), batch, *cell)
                for (window, *dimensions), cell in cells.items()
            ]
            if rows:
                self.client.execute(f"INSERT INTO {cube.delta_table} VALUES", rows)

    def reconcile(
        self,
        repair: str = "auto",
        hour: datetime | None = HOUR,
        before_judging: Callable[[], None] | None = None,
        until: datetime | None = None,
    ) -> list[HourLine]:
        """Run all steps; of hours that nobody named, those are left out that may close while a test runs."""
        run = self.plan(repair, hour, until)
        self.recount(run)
        if before_judging:
            before_judging()
        self.judge(run)
        lines = self.seal(run)
        settled = f"{HOUR + timedelta(hours=1):%Y-%m-%dT%H}"
        return lines if hour else [line for line in lines if line.hour <= settled]

    def load(self, _: str) -> Contract:
        return self.contract

    def plan(self, repair: str = "auto", hour: datetime | None = HOUR, until: datetime | None = None) -> str:
        stream = self.contract.stream
        return make_plans(self.settings, [stream], hour, until or hour, repair, self.load)[0]

    def take_from_topic(self) -> None:
        """Learn what others sent to the topic."""
        ends = Offsets(self.settings, self.contract.topic.name).ends()
        for partition, end in ends.items():
            known = self.sent[partition]
            if end > len(known):
                span = OffsetRange(partition, len(known), end)
                found = read_records(self.settings, self.contract.topic.name, span)
                known += [(record.value, record.kafka_ms) for record in found]

    def recount(self, run: str) -> None:
        recount_run(self.spark, self.settings, run, self.load)

    def judge(self, run: str) -> None:
        judge_run(self.settings, run, self.load)

    def seal(self, run: str) -> list[HourLine]:
        return seal_run(self.settings, run, self.load)

    def served(self, hour: datetime = HOUR) -> tuple[object, ...]:
        return tuple(self.client.execute(SERVED, {"hour": hour})[0])


def hour_of_records(rng: random.Random) -> list[tuple[bytes | None, datetime]]:
    records: list[tuple[bytes | None, datetime]] = []
    for number in range(1000):
        moment = HOUR + timedelta(seconds=rng.uniform(0, 3599))
        records.append((json.dumps(event(number, moment)).encode(), moment))
    copies = rng.sample(records, 10)
    before = HOUR - timedelta(minutes=2)
    wrong = [(json.dumps(event(n, HOUR, country="XX")).encode(), HOUR) for n in range(3000, 3003)]
    return [(json.dumps(event(2000, before)).encode(), before), *records, *copies, *wrong]


def only(lines: list[HourLine]) -> HourLine:
    assert len(lines) == 1, f"expected one hour, got {lines}"
    return lines[0]


def drop(stream: Stream, table: str, condition: str) -> None:
    """Remove rows at once: on 18.16 a DELETE is a mutation that ends some time later."""
    stream.client.execute(f"CREATE TABLE {table}_kept AS {table}")
    stream.client.execute(f"INSERT INTO {table}_kept SELECT * FROM {table} WHERE NOT ({condition})")
    stream.client.execute(f"DROP TABLE {table}")
    stream.client.execute(f"RENAME TABLE {table}_kept TO {table}")
