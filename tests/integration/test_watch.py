"""The watch on a real ClickHouse and Kafka: what is measured, the cheap check of deltas, and the rows it keeps."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer

from include.alerts.incidents import Incident, find_open, open_incident
from include.alerts.notifier import IncidentNotifier
from include.alerts.telling import mend, tell_once
from include.contracts import Contract, load_contract
from include.settings import Settings, get_settings
from include.spark.cluster import ClusterState
from include.spark.orders import Order, record
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.ledger import batch_id, take_over
from include.watch import measure
from include.watch.deltas import mismatches
from include.watch.judge import judge
from include.watch.measure import observe
from include.watch.repair import decide
from include.watch.store import gave_up_at, history, write
from include.watch.types import GAVE_UP, Check, Judgement
from tests.helpers import Record, ad_events, encoded, folded

CONTRACT = ad_events()
STREAM = CONTRACT.stream
HOUR = datetime(2025, 12, 16, 2, tzinfo=UTC)


def committed(client: Client, batch: int, start: int, count: int = 30) -> None:
    """Fold and commit `count` events of partition 0 from an offset on."""
    records = [Record(encoded(country=("US", "KR", "DE")[i % 3]), 0, start + i) for i in range(count)]
    results = folded(CONTRACT, [[records]])
    rows = ledger_rows(CONTRACT, batch, {0: (start, start + count)}, {0: 0}, results)
    write_batch(client, CONTRACT, batch, results, rows)


@pytest.fixture
def two_batches(clickhouse: Client) -> Client:
    """A client on a warehouse of two committed batches of one generation."""
    take_over(clickhouse, STREAM, 1)
    committed(clickhouse, batch_id(1, 0), 0)
    committed(clickhouse, batch_id(1, 1), 30)
    return clickhouse


def delete_delta(client: Client, condition: str, table: str = "ad_events_delta") -> None:
    rows = client.execute(f"SELECT * FROM {table} WHERE NOT ({condition})")
    assert len(rows) < client.execute(f"SELECT count() FROM {table}")[0][0], f"no row has {condition}"
    client.execute(f"TRUNCATE TABLE {table}")
    client.execute(f"INSERT INTO {table} VALUES", rows)


def test_a_batch_whose_deltas_are_there_twice_is_found(two_batches: Client) -> None:
    assert mismatches(two_batches, CONTRACT) == ()
    committed(two_batches, batch_id(1, 1), 30)
    found = mismatches(two_batches, CONTRACT)
    assert {item.cube for item in found} == {"ad_events", "ad_arrival"}
    assert {(item.batches, item.ledger, item.served) for item in found} == {((batch_id(1, 1),), 30, 60)}


def test_a_lost_delta_row_is_found_with_its_hour_and_batch(two_batches: Client) -> None:
    delete_delta(two_batches, f"batch = {batch_id(1, 1)} AND country = 'US'")
    (found,) = mismatches(two_batches, CONTRACT)
    assert (found.cube, found.hour, found.batches) == ("ad_events", "2025-12-16T02:00Z", (batch_id(1, 1),))
    assert (found.ledger, found.served) == (30, 20)
    assert "batch 1/1" in str(found)


def test_every_cube_of_a_stream_is_looked_at_but_those_that_leave_events_out(clickhouse: Client) -> None:
    contract, moment = load_contract("user_events"), int(HOUR.timestamp() * 1000)
    records = [
        Record(
            json.dumps(
                {
                    "timestamp": moment + i,
                    "user_id": f"u{i}",
                    "action": "view",
                    "value": 1.5,
                    "session_id": "s",
                }
            ).encode(),
            offset=i,
            kafka_ms=moment + 60_000 * i,
        )
        for i in range(10)
    ]
    results = folded(contract, [[records]])
    take_over(clickhouse, contract.stream, 1)
    rows = ledger_rows(contract, batch_id(1, 0), {0: (0, len(records))}, {0: 0}, results)
    write_batch(clickhouse, contract, batch_id(1, 0), results, rows)
    late = clickhouse.execute("SELECT sum(event_count) FROM user_late_delta")[0][0]
    assert 0 < late < len(records), "some events are late"
    assert mismatches(clickhouse, contract) == ()
    for cube, key in (("user_actions", "record_offset"), ("user_arrival", "delay_ms")):
        table = f"{cube}_delta"
        delete_delta(clickhouse, f"{key} = (SELECT max({key}) FROM {table})", table)
        (found,) = [item for item in mismatches(clickhouse, contract) if item.cube == cube]
        assert (found.ledger, found.served) == (10, 9)


def test_a_batch_that_is_served_and_not_in_the_ledger_is_found(two_batches: Client) -> None:
    take_over(two_batches, STREAM, 2)
    committed(two_batches, batch_id(2, 5), 60)
    two_batches.execute(
        f"INSERT INTO ad_events_delta SELECT window_start, event_type, country, ad_format, {batch_id(2, 3)}, "
        f"event_count, revenue FROM ad_events_delta WHERE batch = {batch_id(1, 0)}"
    )
    (found,) = mismatches(two_batches, CONTRACT)
    assert (found.batches, found.ledger, found.served) == ((batch_id(2, 3),), 0, 30)


def test_rows_that_nobody_is_served_are_no_mismatch(two_batches: Client) -> None:
    def copy_to(batch: int) -> None:
        two_batches.execute(
            f"INSERT INTO ad_events_delta SELECT window_start, event_type, country, ad_format, {batch}, "
            f"event_count, revenue FROM ad_events_delta WHERE batch = {batch_id(1, 0)}"
        )

    copy_to(batch_id(1, 2))
    assert mismatches(two_batches, CONTRACT) == (), "a batch in flight is not in the ledger yet"
    take_over(two_batches, STREAM, 2)
    committed(two_batches, batch_id(2, 0), 60)
    copy_to(batch_id(1, 3))
    assert mismatches(two_batches, CONTRACT) == (), "a stale driver wrote past the takeover's limit"


def test_what_a_certificate_includes_is_not_looked_at(two_batches: Client) -> None:
    delete_delta(two_batches, f"batch = {batch_id(1, 0)} AND country = 'US'")
    assert len(mismatches(two_batches, CONTRACT)) == 1
    two_batches.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, certified_at) VALUES",
        [(STREAM, HOUR, batch_id(1, 0), 1, "REPAIRED", datetime.now(UTC))],
    )
    assert mismatches(two_batches, CONTRACT) == ()


def test_batches_of_long_ago_are_left_to_the_recount(two_batches: Client) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    rows = two_batches.execute("SELECT * FROM ledger")
    two_batches.execute("TRUNCATE TABLE ledger")
    two_batches.execute("INSERT INTO ledger VALUES", [(*row[:-1], old) for row in rows])
    delete_delta(two_batches, f"batch = {batch_id(1, 1)} AND country = 'US'")
    assert mismatches(two_batches, CONTRACT) == ()


@pytest.fixture
def own_topic(monkeypatch: pytest.MonkeyPatch, kafka_topic: str) -> Contract:
    """The contract of ad_events on a topic of this test, which no driver of the shared cluster carries."""
    own = CONTRACT.model_copy(update={"topic": CONTRACT.topic.model_copy(update={"name": kafka_topic})})
    monkeypatch.setattr(measure, "load_contract", lambda _: own)
    monkeypatch.setattr(measure, "read_cluster", lambda _: ClusterState((), ()))
    return own


def produce(settings: Settings, contract: Contract, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for _ in range(count):
        producer.produce(contract.topic.name, encoded(), partition=0)
    assert producer.flush(20) == 0


def beat(client: Client, age: float, *, generation: int = 1, lag: int = 0, state: str = "running") -> None:
    at = int((time.time() - age) * 1000)
    client.execute(
        "INSERT INTO heartbeats (stream, at, day, launch, generation, state, batch, lag, detail) VALUES",
        [(STREAM, at, datetime.fromtimestamp(at / 1000, UTC).date(), "l1", generation, state, 0, lag, "")],
    )


def test_lag_and_age_are_measured_against_kafka_and_the_ledger(
    warehouse: Settings, two_batches: Client, own_topic: Contract
) -> None:
    produce(warehouse, own_topic, 100)
    beat(two_batches, 100.0)
    beat(two_batches, 80.0, lag=40)
    beat(two_batches, 2.0, lag=40)
    (seen,) = observe(warehouse, two_batches, [STREAM])
    assert (seen.lag, seen.frontiers[0], seen.ends[0]) == (40, 60, 100)
    assert seen.commit_seconds is not None
    assert -1 <= seen.commit_seconds < 60
    assert seen.waiting_seconds is not None
    assert seen.waiting_seconds < 60, "a commit ends the wait"
    assert not seen.carried
    assert seen.mismatches == ()
    assert (seen.batch, seen.restarts) == (batch_id(1, 1), 0)


def test_a_wait_begins_when_the_driver_last_had_nothing_to_fold(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    produce(warehouse, own_topic, 10)
    for age, lag in ((500.0, 0), (200.0, 0), (190.0, 10), (2.0, 10)):
        beat(clickhouse, age, lag=lag)
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.waiting_seconds == pytest.approx(200, abs=20)
    beat(clickhouse, 1.0, generation=2, lag=10)
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.waiting_seconds == pytest.approx(1, abs=20), "a new generation begins its own wait"


def test_restarts_are_the_generations_begun_since_the_last_commit_or_order(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    for age in range(890, 300, -10):
        beat(clickhouse, float(age), generation=1)
    for generation, age in ((2, 200.0), (3, 150.0), (4, 100.0)):
        beat(clickhouse, age, generation=generation, state="starting")
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert (seen.restarts, seen.running_seconds) == (3, None)
    assert seen.generation_seconds == pytest.approx(100, abs=20)
    record(clickhouse, Order(stream=STREAM, kind="launch", by="launch_stream", at=seen.at - 120_000))
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.restarts == 1
    assert own_topic


def test_a_launch_is_under_way_until_its_driver_has_spoken(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    record(clickhouse, Order(stream=STREAM, kind="launch", by="launch_stream", launch="l1"))
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.launched_at > 0
    beat(clickhouse, 1.0)
    record(clickhouse, Order(stream=STREAM, kind="launch", by="launch_stream", launch="l1"))
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.launched_at == 0, "an order for a stream that was found running is no launch under way"
    assert own_topic


def test_an_idle_topic_waits_for_nothing(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    beat(clickhouse, 1.0)
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert (seen.lag, seen.waiting_seconds, seen.freshness_seconds) == (0, None, 0.0)
    assert own_topic.topic.partitions == len(seen.ends)


def test_a_kafka_that_is_away_is_said_and_does_not_end_the_check(
    warehouse: Settings, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.topics.offsets.REQUEST_SECONDS", 1.0)
    record(clickhouse, Order(stream=STREAM, kind="launch", by="launch_stream", streams=(STREAM,)))
    away = warehouse.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    (seen,) = observe(away, clickhouse, [STREAM])
    assert seen.lag is None
    assert "no Kafka broker answered" in seen.kafka_error


def test_checks_are_kept_and_a_later_one_reads_them(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    produce(warehouse, own_topic, 10)
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    minute_ago = replace(seen, at=seen.at - 60_000)
    write(clickhouse, [Check(seen=minute_ago, judged=Judgement(verdict="slow", reason="it is"))])
    (past,) = history(clickhouse, STREAM, seen.at - 3_600_000)
    assert (past.verdict, past.action, past.ends[0]) == ("slow", "none", 10)
    (later,) = observe(warehouse, clickhouse, [STREAM])
    assert later.freshness_seconds == pytest.approx(60, abs=20), "the end of a minute ago is not passed yet"
    assert later.slow_seconds == pytest.approx(60, abs=20)


def test_giving_up_holds_until_a_person_launches_again(
    warehouse: Settings, clickhouse: Client, own_topic: Contract
) -> None:
    now = int(time.time() * 1000)
    ordered = Order(
        stream=STREAM, kind="launch", by="launch_stream", at=now - 3_600_000, streams=(STREAM,), launch="a"
    )
    record(clickhouse, ordered)
    for age in (600_000, 400_000, 200_000):
        record(clickhouse, replace(ordered, at=now - age, by="watch_stream"))
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert (seen.order, seen.relaunches) == (ordered, 3)
    check = decide(seen, judge(seen))
    assert (check.judged.verdict, check.action) == ("gone", GAVE_UP), check.judged.reason
    write(clickhouse, [check])
    assert gave_up_at(clickhouse, STREAM, ordered.at) == seen.at
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert seen.gave_up_at > 0
    record(clickhouse, replace(ordered, at=seen.at + 1))
    (seen,) = observe(warehouse, clickhouse, [STREAM])
    assert (seen.gave_up_at, seen.relaunches) == (0, 0)
    assert own_topic


class FileNotifier(IncidentNotifier):
    """A notifier as a person would configure it: writes title and message to a file, or fails."""

    template_fields = ("text", "folder")

    def __init__(self, folder: str, text: str = "{{ incident.title }}|{{ incident.message }}") -> None:
        super().__init__()
        self.folder, self.text = folder, text

    def notify(self, context: Any) -> None:  # noqa: ARG002
        if (Path(self.folder) / "broken").exists():
            raise ConnectionError("the mail server is away")
        with (Path(self.folder) / "sent").open("a") as sent:
            sent.write(self.text + "\n")


@pytest.fixture
def told(warehouse: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Settings with a notifier of this test, and what it sent."""
    listed = [{"class": f"{__name__}.FileNotifier", "arguments": {"folder": str(tmp_path)}}]
    own = warehouse.model_copy(update={"notifiers": json.dumps(listed)})
    monkeypatch.setenv("AIRFLOW_VAR_INCIDENTS_TOLD_WITHOUT_WAREHOUSE", "{}")
    monkeypatch.setenv("PLATFORM_NOTIFIERS", json.dumps(listed))
    monkeypatch.setenv("PLATFORM_CLICKHOUSE_DATABASE", own.clickhouse_database)
    get_settings.cache_clear()
    sent = tmp_path / "sent"
    return SimpleNamespace(
        settings=own,
        folder=tmp_path,
        sent=lambda: sent.read_text().splitlines() if sent.exists() else [],
    )


INCIDENT = Incident(key="stream:x", stream="x", severity="critical", title="x is gone", message="no driver")


def test_an_incident_is_told_once_and_its_end_once(clickhouse: Client, told: SimpleNamespace) -> None:
    for _ in range(3):
        tell_once({}, [INCIDENT], told.settings)
    assert told.sent() == ["x is gone|no driver"]
    for _ in range(2):
        mend({}, ["stream:x", "stream:other"], told.settings)
    assert len(told.sent()) == 2, told.sent()
    assert told.sent()[1].startswith("over: x is gone|It lasted 0 min"), told.sent()
    assert find_open(clickhouse, "stream:x") is None
    tell_once({}, [INCIDENT], told.settings)
    assert len(told.sent()) == 3, "after its end the same is a new incident"


def test_a_notifier_that_fails_neither_hides_the_incident_nor_counts_as_told(
    clickhouse: Client, told: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    (told.folder / "broken").touch()
    tell_once({}, [INCIDENT], told.settings)
    kept = find_open(clickhouse, "stream:x")
    assert kept is not None
    assert kept.told == frozenset()
    assert "the mail server is away" in caplog.text
    assert "x is gone" in caplog.text
    (told.folder / "broken").unlink()
    for _ in range(2):
        tell_once({}, [INCIDENT], told.settings)
    assert told.sent() == ["x is gone|no driver"]


def test_a_task_that_fails_is_told_with_its_error_once(clickhouse: Client, told: SimpleNamespace) -> None:
    ti = SimpleNamespace(dag_id="watch_stream", task_id="check", run_id="r1")
    for _ in range(2):
        IncidentNotifier()({"ti": ti, "exception": ValueError("no such thing")})  # type: ignore[typeddict-item]
    (line,) = told.sent()
    assert line.startswith("watch_stream.check failed|ValueError: no such thing")
    assert find_open(clickhouse, "task:watch_stream.check") is not None


def test_opening_says_whether_it_is_new(clickhouse: Client) -> None:
    opened = [open_incident(clickhouse, "k", "x", "warning", "t", "m") for _ in range(2)]
    assert opened == [True, False]
