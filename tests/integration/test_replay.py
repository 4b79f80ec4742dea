"""Rejected records under a contract that accepts them: judged, approved, folded once by the real driver."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from clickhouse_driver import Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.contracts import Contract
from include.demo.streams import stream_balance
from include.replay.letters import Choice, approve, chosen
from include.replay.run import Outcome, await_folded, judge_letters
from include.settings import Settings
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import claim
from include.streaming.heartbeat import Heartbeat
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, take_over
from include.streaming.replays import Replays
from include.warehouse.client import connect
from include.watch.deltas import mismatches
from tests.helpers import ad_events, encoded, eventually, folded
from tests.streams import LIMIT_SECONDS, Job, clicks

CUT = 5_000  # bytes of a record whose stored payload is cut


def widened(contract: Contract) -> Contract:
    """The contract's next version, which knows one country more."""
    country = contract.fields["country"]
    allowed = country.model_copy(update={"allowed": (*(country.allowed or ()), "BR")})
    fields = {**contract.fields, "country": allowed}
    return contract.model_copy(update={"version": contract.version + 1, "fields": fields})


def brazilian(count: int, **changes: object) -> list[bytes | None]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return [
        encoded(event_id=uuid.uuid4().hex, timestamp=now, country="BR", revenue=0.02, **changes)
        for _ in range(count)
    ]


@pytest.fixture
def letters(control_topic: Settings, kafka_topic: str) -> Iterator[Job]:
    """A stream without a driver that rejected ten records for their country and two for good, then was widened."""
    contract = ad_events()
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    found = Job(cast(SparkSession, None), control_topic, contract, connect(control_topic))
    reject(found)
    yield found
    found.close()


@pytest.fixture
def rejected(job: Job) -> Job:
    """The same with a Spark for its driver."""
    reject(job)
    return job


def reject(job: Job) -> None:
    """Send and fold as a driver of the first contract would, and widen the contract."""
    job.send(*clicks(40), *brazilian(9), *brazilian(1, padding="x" * CUT), b"{", encoded(country="XX"))
    generation = claim(job.settings, "ad_events")
    take_over(job.client, "ad_events", generation)
    results = folded(job.contract, [[job.sent]])
    batch, ranges = batch_id(generation, 0), {p: (0, end) for p, end in job.ends.items()}
    rows = ledger_rows(job.contract, batch, ranges, dict.fromkeys(ranges, 0), results)
    write_batch(job.client, job.contract, batch, results, rows)
    job.contract = widened(job.contract)


def judged(job: Job, run: str = "run-1", choice: Choice | None = None, dry_run: bool = False) -> Outcome:
    return judge_letters(job.settings, job.contract, choice or Choice(), run, dry_run)


def replayed(job: Job) -> list[tuple[int, int]]:
    return sorted(
        place
        for row in job.state().rows
        for place in zip(row.replayed_partitions, row.replayed_offsets, strict=True)
    )


def of_brazil(job: Job) -> list[tuple[int, int]]:
    """Places of the records that were sent from there."""
    return sorted((r.partition, r.offset) for r in job.sent if r.value and b'"BR"' in r.value)


def served(job: Job) -> tuple[int, int]:
    """Events and dollars' cents that are served of Brazil."""
    events, dollars = job.client.execute(
        "SELECT sum(event_count), sum(total_revenue) FROM ad_events_aggregated WHERE country = 'BR'"
    )[0]
    return events, round(dollars * 100)


def await_replays(job: Job, count: int = 10) -> None:
    eventually(lambda: len(replayed(job)) >= count, f"{count} dead letters replayed", LIMIT_SECONDS)


def test_what_passes_today_is_approved_once_and_a_dry_run_approves_nothing(letters: Job) -> None:
    for outcome in (judged(letters, dry_run=True), judged(letters)):
        assert (outcome.judged, dict(outcome.passed)) == (12, {"schema": 10}), outcome
        assert dict(outcome.rejected) == {("malformed", "malformed"): 1, ("schema", "schema"): 1}
        assert sum(outcome.hours.values()) == 10
    again = judged(letters, "run-2")
    assert (again.judged, sum(again.passed.values())) == (2, 0), "what is approved was judged again"
    assert letters.client.execute("SELECT count(), uniqExact(run) FROM replay_approvals FINAL") == [(10, 1)]


def test_a_choice_bounds_what_is_judged(letters: Job) -> None:
    sent_ms = letters.sent[0].kafka_ms
    for choice, count in (
        (Choice(("malformed",)), 1),
        (Choice(from_ms=sent_ms, to_ms=sent_ms + 1), 12),
        (Choice(from_ms=sent_ms + 1), 0),
        (Choice(to_ms=sent_ms), 0),
    ):
        assert judged(letters, choice=choice, dry_run=True).judged == count, choice


def test_an_idle_stream_folds_what_was_approved_once_and_its_balance_and_counts_stay_true(
    rejected: Job,
) -> None:
    driver = rejected.start()
    before = driver.vitals.batch
    judged(rejected)
    await_replays(rejected)
    once = of_brazil(rejected)
    assert replayed(rejected) == once
    assert driver.vitals.generation == max(row.batch >> 40 for row in rejected.state().rows)
    assert driver.vitals.batch > before
    letters = [item for page in chosen(rejected.client, "ad_events", 99, Choice()) for item in page]
    assert len(letters) == 2, "a dead letter that was replayed is judged again"
    first = next(chosen(rejected.client, "ad_events", 99, Choice(("malformed",))))
    approve(rejected.client, "ad_events", rejected.contract.version, "run-2", first)
    for place in of_brazil(rejected)[:3]:
        again = replace(first[0], partition=place[0], offset=place[1])
        approve(rejected.client, "ad_events", rejected.contract.version, "run-3", [again])
    replays = Replays(rejected.settings, rejected.contract)
    assert replays.next() is None, "a dead letter that is approved again is replayed again"
    replays.close()
    rejected.send(*clicks(30), *brazilian(2))
    rejected.await_commit()
    eventually(lambda: driver.is_alive() and served(rejected)[0] == 12, "all is served", LIMIT_SECONDS)
    assert replayed(rejected) == once
    assert served(rejected) == (12, 24)
    rejected.client.execute(
        "INSERT INTO traffic_runs (run, stream, sent) VALUES", [("r", "ad_events", len(rejected.sent))]
    )
    balance, _ = stream_balance(rejected.client, rejected.contract)
    assert (balance.aggregated, balance.rejected, balance.unexplained) == (82, 2, 0), balance
    assert mismatches(rejected.client, rejected.contract) == ()
    assert driver.vitals.state == "running"


def test_a_replay_whose_commit_fails_after_its_deltas_is_void_and_made_again(
    rejected: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = ["before the ledger"]

    def failing(client: Client, rows: list[LedgerRow]) -> None:
        if rows[0].replayed_offsets and failures:
            raise RuntimeError(failures.pop())
        insert_ledger_rows(client, rows)

    monkeypatch.setattr("include.streaming.commit.insert_ledger_rows", failing)
    monkeypatch.setattr("include.streaming.driver.RESTART_SECONDS", 0.1)
    judged(rejected)
    driver = rejected.start()
    await_replays(rejected)
    assert failures == []
    written = rejected.client.execute(
        "SELECT uniqExact(batch), sum(event_count) FROM ad_events_delta WHERE country = 'BR'"
    )
    assert written == [(2, 20)], "the first attempt wrote no deltas"
    assert served(rejected) == (10, 20)
    rejected.send(*clicks(8))
    rejected.await_commit()
    assert served(rejected) == (10, 20), "a later commit made the void batch valid"
    assert (len(replayed(rejected)), driver.vitals.state) == (10, "running"), driver.vitals
    assert mismatches(rejected.client, rejected.contract) == ()


def test_only_a_driver_with_the_approved_version_replays(letters: Job) -> None:
    judged(letters)
    older = letters.contract.model_copy(update={"version": letters.contract.version - 1})
    for contract, count in ((older, 0), (letters.contract, 10)):
        replays = Replays(letters.settings, contract)
        found = replays.next()
        replays.close()
        assert len(found.letters if found else []) == count, contract.version


def test_a_record_that_expired_in_kafka_is_not_approved_and_one_that_expires_later_is_left_out(
    letters: Job,
) -> None:
    judged(letters)
    letters.client.execute("TRUNCATE TABLE replay_approvals")
    wrong = [item for page in chosen(letters.client, "ad_events", 2, Choice(("schema",))) for item in page]
    admin = AdminClient({"bootstrap.servers": letters.settings.kafka_bootstrap_servers})
    ends = [TopicPartition(letters.contract.topic.name, p, end) for p, end in letters.ends.items()]
    for future in admin.delete_records(ends).values():
        future.result(30)
    outcome = judged(letters)
    assert (outcome.judged, dict(outcome.unjudged)) == (
        0,
        {("schema", "expired in Kafka"): 11, ("malformed", "expired in Kafka"): 1},
    )
    approve(letters.client, "ad_events", letters.contract.version, "run-2", wrong)
    replays = Replays(letters.settings, letters.contract)
    assert replays.next() is None
    replays.close()


def test_a_run_says_which_hours_were_folded_and_why_the_rest_waits(rejected: Job) -> None:
    outcome = judged(rejected)
    waiting = await_folded(rejected.settings, "ad_events", "run-1", 5)
    assert (waiting.approved, waiting.hours) == (10, {})
    assert "does not run" in waiting.waits
    driver = rejected.start()
    heartbeat = Heartbeat(rejected.settings, "launch-1", [driver.vitals])
    heartbeat.start()
    await_replays(rejected)
    done = await_folded(rejected.settings, "ad_events", "run-1", 60)
    heartbeat.end()
    assert (done.hours, done.waits) == (dict(outcome.hours), "")
