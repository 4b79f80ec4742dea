"""The real driver in a real Spark on a topic, a database and a control topic of its own."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import NetworkError
from confluent_kafka import Producer

from include.streaming.commit import write_batch
from include.streaming.heartbeat import Heartbeat
from tests.helpers import encoded, eventually
from tests.streams import LIMIT_SECONDS, Job, clicks, ended


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


@pytest.mark.parametrize("done", [True, False])
def test_deltas_without_an_answer_are_folded_again_under_a_new_generation(
    job: Job, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    lost: list[str] = []

    def unanswered(client: Client, query: str, *arguments: Any, **options: Any) -> Any:
        losing = re.match(r"INSERT INTO \w+_delta ", query) is not None and len(lost) < 3
        if losing:
            lost.append(query)
        found = None if losing and not done else execute(client, query, *arguments, **options)
        if losing:
            raise NetworkError("cut before the answer")
        return found

    execute = Client.execute
    monkeypatch.setattr(Client, "execute", unanswered)
    monkeypatch.setattr("include.streaming.driver.RESTART_SECONDS", 0.1)
    job.send(*clicks(200), b"{")
    driver = job.start(max_offsets=80, wait=False)
    state = job.await_commit()
    job.assert_exact()
    assert (len(lost), state.rows[0].batch >> 40, driver.is_alive()) == (3, 4, True), driver.vitals
    assert job.client.execute("SELECT uniqExact(batch) FROM dead_letters FINAL") == [(1,)]


def test_a_driver_that_fails_after_its_writes_takes_itself_over_and_doubles_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = ["before", "after"]

    def failing(*arguments: object, **options: object) -> None:
        when = failures.pop() if failures else "never"
        if when == "before":
            raise RuntimeError("a batch that fails before its writes")
        write_batch(*arguments, **options)  # type: ignore[arg-type]
        if when == "after":
            raise RuntimeError("a batch that fails after its commit")

    monkeypatch.setattr("include.streaming.query.write_batch", failing)
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
