"""The real driver in a real Spark on a topic, a database and a control topic of its own."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.settings import PROJECT_ROOT, Settings
from include.spark.submission import connector_jars
from include.streaming.commit import write_batch
from include.streaming.driver import StreamDriver
from include.streaming.heartbeat import Heartbeat, Vitals
from include.streaming.ledger import CommitState, read_commit_state
from include.warehouse.client import connect
from tests.conftest import platform_environment
from tests.helpers import Record, ad_events, encoded, eventually, served_truth

LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    jars = connector_jars(Settings(spark_jars=platform_environment()["PLATFORM_SPARK_JARS"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = (
            SparkSession.builder.master("local[2]")
            .appName("test-stream")
            .config("spark.jars", jars)
            .config("spark.executorEnv.PYTHONPATH", str(PROJECT_ROOT))
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "Asia/Kathmandu")
            .config("spark.sql.shuffle.partitions", "2")
            .getOrCreate()
        )
        yield session
        session.stop()


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

    def start(self, max_offsets: int = 10_000, trigger_seconds: float = 0.2) -> StreamDriver:
        driver = StreamDriver(
            self.spark.newSession(),  # query names are unique in a session
            self.settings,
            self.contract,
            Vitals(self.contract.stream, self.contract.topic.name),
            start="earliest",
            trigger_seconds=trigger_seconds,
            max_offsets=max_offsets,
        )
        self.drivers.append(driver)
        driver.start()
        eventually(
            lambda: driver.vitals.state != "starting", f"the driver runs ({driver.vitals})", LIMIT_SECONDS
        )
        assert driver.vitals.state == "running", driver.vitals
        return driver

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

        eventually(reached, f"the ledger reached {self.ends} (drivers: {[d.vitals for d in self.drivers]})")
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


@pytest.fixture
def job(spark: SparkSession, control_topic: Settings, kafka_topic: str, tmp_path: Path) -> Iterator[Job]:
    contract = ad_events()
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    settings = control_topic.model_copy(update={"scratch_dir": tmp_path})
    client = connect(settings)
    found = Job(spark, settings, contract, client)
    yield found
    for driver in found.drivers:
        driver.vitals.stop.set()
    for driver in found.drivers:
        driver.join(LIMIT_SECONDS)
        assert not driver.is_alive(), f"the driver did not end: {driver.vitals}"
    client.disconnect()


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


def test_records_are_committed_once_and_exactly_whatever_they_hold(job: Job) -> None:
    job.send(*clicks(500), b"{", None, b"\xff", encoded(), encoded(country="XX"), b"[" * 10_000)
    job.start(max_offsets=150)
    state = job.await_commit()
    job.assert_exact()
    assert sum(row.rejected for row in state.rows) == 6
    assert len({row.batch for row in state.rows}) >= 4, "the limit of offsets for a batch was not kept"
    reasons = job.client.execute(
        "SELECT reason, count() FROM dead_letters FINAL GROUP BY reason ORDER BY reason"
    )
    assert reasons == [("malformed", 4), ("schema", 1), ("stale", 1)]
    job.send(*clicks(20))
    job.await_commit()
    job.assert_exact()


def test_a_second_driver_fences_the_first_and_nothing_is_doubled(job: Job) -> None:
    job.send(*clicks(100))
    first = job.start()
    job.await_commit()
    second = job.start()
    assert second.vitals.generation > first.vitals.generation
    job.send(*clicks(100))
    eventually(ended(first), f"the first driver ended ({first.vitals})", LIMIT_SECONDS)
    assert first.vitals.state == "fenced", first.vitals
    assert str(second.vitals.generation) in first.vitals.detail
    job.await_commit()
    job.assert_exact()
    assert second.vitals.state == "running"


def test_a_stop_request_ends_the_driver_and_a_new_one_goes_on_at_the_frontier(job: Job) -> None:
    job.send(*clicks(100))
    first = job.start()
    heartbeat = Heartbeat(job.settings, "launch-1", [first.vitals])
    heartbeat.start()
    before = job.await_commit()
    job.client.execute(
        "INSERT INTO stop_requests VALUES", [("ad_events", first.vitals.generation - 1, datetime.now(UTC))]
    )
    job.send(*clicks(40))
    before = job.await_commit()
    assert not first.vitals.stop.is_set(), "a request for an earlier generation stopped this driver"
    job.client.execute(
        "INSERT INTO stop_requests VALUES", [("ad_events", first.vitals.generation, datetime.now(UTC))]
    )
    eventually(ended(first), f"the driver stopped ({first.vitals})", LIMIT_SECONDS)
    heartbeat.end()
    assert first.vitals.state == "stopped", first.vitals
    states = [row[0] for row in job.client.execute("SELECT state FROM heartbeats ORDER BY at")]
    assert (states[-1], "running" in states) == ("stopped", True), states
    job.send(*clicks(60))
    second = job.start()
    state = job.await_commit()
    mine = [row for row in state.rows if row.batch >> 40 == second.vitals.generation]
    assert min(row.start_offset for row in mine if row.partition == 0) == before.frontier[0]
    job.assert_exact()


def test_a_driver_with_a_backlog_stops_after_the_batch_in_hand(job: Job) -> None:
    job.send(*clicks(2_000))
    driver = job.start(max_offsets=40, trigger_seconds=0.0)
    eventually(lambda: driver.vitals.batch > 0, "the first commit", LIMIT_SECONDS)
    driver.vitals.stop.set()
    at = driver.vitals.batch
    eventually(ended(driver), f"the driver stopped ({driver.vitals})", LIMIT_SECONDS)
    assert driver.vitals.state == "stopped", driver.vitals
    assert driver.vitals.batch - at <= 3, (
        f"{driver.vitals.batch - at} more batches were folded after the stop request"
    )
    job.start()
    job.await_commit()
    job.assert_exact()


def test_writing_a_committed_batch_again_changes_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(*arguments: object) -> None:
        write_batch(*arguments)  # type: ignore[arg-type]
        write_batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("include.streaming.driver.write_batch", twice)
    job.send(*clicks(200), b"{")
    job.start(max_offsets=80)
    job.await_commit()
    job.assert_exact()
    assert job.client.execute("SELECT count() FROM dead_letters FINAL") == [(1,)]


def test_a_driver_that_fails_after_its_writes_takes_itself_over_and_doubles_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = ["before", "after"]

    def failing(*arguments: object) -> None:
        when = failures.pop() if failures else "never"
        if when == "before":
            raise RuntimeError("a batch that fails before its writes")
        write_batch(*arguments)  # type: ignore[arg-type]
        if when == "after":
            raise RuntimeError("a batch that fails after its commit")

    monkeypatch.setattr("include.streaming.driver.write_batch", failing)
    monkeypatch.setattr("include.streaming.driver.RESTART_SECONDS", 0.1)
    job.send(*clicks(200))
    driver = job.start(max_offsets=80)
    state = job.await_commit()
    job.assert_exact()
    assert failures == []
    assert len({row.batch >> 40 for row in state.rows}) == 2, (
        "the second query start has a generation of its own"
    )
    assert driver.is_alive()


def test_aborted_transactions_are_non_records_and_are_not_served(job: Job) -> None:
    producer = Producer(
        {"bootstrap.servers": job.settings.kafka_bootstrap_servers, "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    aborted = clicks(10)
    job.send(*aborted, producer=producer, partition=1)
    producer.abort_transaction(30)
    job.sent.clear()
    producer.begin_transaction()
    job.send(*clicks(7), producer=producer, partition=1)
    producer.commit_transaction(30)
    job.send(*clicks(8))
    job.start()
    state = job.await_commit()
    job.assert_exact()
    mine = [row for row in state.rows if row.partition == 1]
    assert sum(row.accepted for row in mine) == 9
    assert sum(row.non_records for row in mine) == 12, "ten aborted records and two markers"
