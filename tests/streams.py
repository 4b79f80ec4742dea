"""A topic of advertising events with the real driver on it, and all that was sent to it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_driver import Client
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.settings import Settings
from include.streaming.begin import Skip
from include.streaming.driver import StreamDriver
from include.streaming.ledger import CommitState, read_commit_state
from include.streaming.query import StreamOptions
from include.streaming.vitals import Vitals
from include.streaming.watch import KafkaWatch
from tests.helpers import Record, encoded, eventually, served_truth

LIMIT_SECONDS = 150


@dataclass
class Job:
    """A topic with all that was sent to it, and the drivers that were started on it."""

    spark: SparkSession
    settings: Settings
    contract: Contract
    client: Client
    sent: list[Record] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(4), 0))
    drivers: list[StreamDriver] = field(default_factory=list)
    watches: list[KafkaWatch] = field(default_factory=list)

    def start(
        self,
        max_offsets: int = 10_000,
        trigger_seconds: float = 0.2,
        skip_to: str = "",
        launch: str = "launch-1",
        wait: bool = True,
    ) -> StreamDriver:
        session: Future[SparkSession] = Future()
        session.set_result(self.spark.newSession())  # query names are unique in a session
        driver = StreamDriver(
            session,
            self.settings,
            self.contract,
            Vitals(self.contract.stream, self.contract.topic.name),
            StreamOptions(trigger_seconds, max_offsets),
            Skip(self.contract.stream, launch, skip_to),
        )
        self.drivers.append(driver)
        driver.start()
        if wait:
            eventually(
                lambda: driver.vitals.state != "starting", f"the driver runs ({driver.vitals})", LIMIT_SECONDS
            )
            assert driver.vitals.state == "running", driver.vitals
        return driver

    def watch(self, *drivers: StreamDriver) -> None:
        """Run the watch on Kafka that the job runs for its drivers."""
        watch = KafkaWatch(self.settings, [driver.vitals for driver in drivers])
        self.watches.append(watch)
        watch.start()

    def close(self) -> None:
        """End what was started, and fail if a driver does not end."""
        for watch in self.watches:
            watch.end()
        for driver in self.drivers:
            driver.vitals.stop.set()
        for driver in self.drivers:
            driver.join(LIMIT_SECONDS)
            assert not driver.is_alive(), f"the driver did not end: {driver.vitals}"
        self.client.disconnect()

    def send(
        self, *values: bytes | None, producer: Producer | None = None, partition: int | None = None
    ) -> None:
        """Send the values, partition by partition in turn, and note where they went."""
        own = producer or Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        now = int(time.time() * 1000)

        def note(value: bytes | None, error: object, place: tuple[int, int, int]) -> None:
            assert error is None, error
            self.sent.append(Record(value, *place))
            self.ends[place[0]] = max(self.ends[place[0]], place[1] + 1)

        for i, value in enumerate(values):
            own.produce(
                self.contract.topic.name,
                value,
                partition=i % 4 if partition is None else partition,
                timestamp=now,
                on_delivery=lambda error, message, value=value: note(
                    value, error, (message.partition(), message.offset(), now)
                ),
            )
        assert own.flush(30) == 0

    def state(self) -> CommitState:
        return read_commit_state(self.client, self.contract.stream)

    def await_commit(self) -> CommitState:
        """Wait until everything that was sent is in the ledger."""

        def reached() -> bool:
            frontier = self.state().frontier
            return all(frontier.get(p, 0) >= end for p, end in self.ends.items())

        eventually(
            reached,
            f"the ledger reached {self.ends} (drivers: {[d.vitals for d in self.drivers]})",
            LIMIT_SECONDS,
        )
        return self.state()

    def assert_exact(self) -> None:
        """Served figures equal those of what was sent; the ledger is contiguous and balances."""
        rows = self.client.execute(
            "SELECT window_start, event_type, country, ad_format, event_count, total_revenue FROM ad_events_aggregated"
        )
        served = {tuple(row[:4]): (row[4], int(row[5] * 1_000_000)) for row in rows}
        expected = served_truth(self.sent)
        assert served == expected, (
            f"\n  served   {sorted(served.items())}\n  expected {sorted(expected.items())}"
        )
        at = dict.fromkeys(range(4), 0)
        for row in self.state().rows:
            assert row.start_offset == at[row.partition], f"hole or overlap at {at} before {row}"
            at[row.partition] = row.end_offset
            offsets = row.end_offset - row.lost_to
            assert offsets == row.accepted + row.rejected + row.non_records, f"does not balance: {row}"


def clicks(count: int) -> list[bytes | None]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return [
        encoded(
            event_id=uuid.uuid4().hex, timestamp=now, country=("US", "DE")[i % 2], revenue=(i % 90 + 1) / 1e4
        )
        for i in range(count)
    ]


def ended(driver: StreamDriver) -> Callable[[], bool]:
    return lambda: not driver.is_alive()
