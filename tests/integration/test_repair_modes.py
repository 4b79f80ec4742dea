"""Repairs that a person approves or rejects, long ranges, and hours whose raw records are gone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from include.alerts.incidents import open_incident, open_keys
from include.contracts import load_contract
from include.reconcile import alerting, approval, store
from include.reconcile.certificate import read_certificate
from include.reconcile.plan import make_plans
from include.reconcile.report import HourLine
from include.reconcile.seal import run_lines, seal_run
from include.reconcile.types import Answer, CertificateChangedError
from include.settings import Settings
from include.streaming.ledger import batch_id
from tests.reconciling import HOUR, Stream, drop, event, only

EVENTS = 120
NEXT = HOUR + timedelta(hours=1)
WAITING = timedelta(hours=25)


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """Two hours, the first of which has lost deltas."""
    contract = load_contract("ad_events")
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    own = Stream(control_topic.model_copy(update={"grace_seconds": 0.0}), clickhouse, contract, spark)
    own.start()
    moments = [HOUR + timedelta(seconds=60 * number) for number in range(EVENTS)]
    own.send([(json.dumps(event(n, moment)).encode(), moment) for n, moment in enumerate(moments)])
    own.fold()
    drop(own, "ad_events_delta", f"country = 'US' AND window_start < '{NEXT:%Y-%m-%d %H:%M:%S}'")
    return own


def run_asked(stream: Stream) -> tuple[str, list[HourLine]]:
    run = stream.plan("ask", HOUR, NEXT)
    stream.recount(run)
    stream.judge(run)
    return run, stream.seal(run)


def answer(stream: Stream, run: str, said: Answer) -> list[HourLine]:
    hours = approval.take_answer(stream.settings, run, said, stream.load)
    return seal_run(stream.settings, run, stream.load, hours=hours)


def due(stream: Stream, repair: str = "ask") -> set[datetime]:
    """Return the hours that the next scheduled run would take up."""
    return {
        plan.hour for plan in make_plans(stream.settings, ["ad_events"], None, None, repair, stream.load)[1]
    }


def bad_hours(stream: Stream) -> list[alerting.BadHour]:
    return alerting.read_bad_hours(stream.client, {"ad_events": 60}, datetime.now(UTC))


def test_an_approved_repair_is_certified_by_name_and_nobody_else_waits_for_it(stream: Stream) -> None:
    run, lines = run_asked(stream)
    assert [(line.verdict, line.waits) for line in lines] == [("DRIFTED", True), ("PROVED", False)]
    assert stream.served()[0] == 40
    assert stream.served(NEXT)[3] == "sealed"
    since = datetime.now(UTC) - WAITING
    assert store.waiting_hours(stream.client, "ad_events", since) == {HOUR}
    assert HOUR not in due(stream), "the next run leaves it alone"
    question = approval.request(stream.settings, run, stream.load)
    assert f"{HOUR:%Y-%m-%dT%H}" in question["subject"]
    assert "| ad_events | event_count | 40 | 60 |" in question["body"]
    assert "missing" in question["body"]

    assert only(answer(stream, run, Answer(True, "ann"))).verdict == "REPAIRED"
    assert only(answer(stream, run, Answer(True, "ann"))).verdict == "REPAIRED", "and once more"
    assert stream.served()[0] == 60
    assert store.waiting_hours(stream.client, "ad_events", since) == frozenset()
    document = read_certificate(stream.client, "ad_events", HOUR)
    assert document.verdict == "REPAIRED"
    assert str(document.repaired_by).startswith("ann")
    assert [line.verdict for line in run_lines(stream.settings, run)] == ["REPAIRED", "PROVED"]
    assert bad_hours(stream) == []
    assert stream.client.execute(
        "SELECT verdict, count() FROM verdicts WHERE hour = %(hour)s GROUP BY verdict ORDER BY verdict",
        {"hour": HOUR},
    ) == [("DRIFTED", 1), ("REPAIRED", 1)]
    assert HOUR not in due(stream)
    with pytest.raises(approval.NothingWaitsError):
        approval.request(stream.settings, run, stream.load)


def test_a_rejected_repair_changes_nothing_and_is_one_incident_until_the_hour_is_verified(
    stream: Stream,
) -> None:
    run, _ = run_asked(stream)
    (waiting,), _ = alerting.incidents(
        bad_hours(stream), open_keys(stream.client, alerting.PREFIX), "evidence"
    )
    assert waiting.severity == "warning"
    told = (waiting.key, waiting.stream, waiting.severity, waiting.title, waiting.message)
    assert open_incident(stream.client, *told)
    line = only(answer(stream, run, Answer(False, "bob")))
    assert (line.verdict, line.waits) == ("DRIFTED", False)
    assert "rejected by bob" in line.reason
    assert stream.served()[0] == 40
    there, over = alerting.incidents(bad_hours(stream), open_keys(stream.client, alerting.PREFIX), "evidence")
    assert ([item.key for item in there], over) == ([waiting.key], []), "it is told already"
    assert only(stream.reconcile("auto")).verdict == "REPAIRED"
    assert alerting.incidents(bad_hours(stream), open_keys(stream.client, alerting.PREFIX), "e") == (
        [],
        [waiting.key],
    )


def test_a_rejection_is_remembered_until_the_figures_change_and_asked_again_by_name(stream: Stream) -> None:
    run, _ = run_asked(stream)
    answer(stream, run, Answer(False, "bob"))
    assert HOUR not in due(stream), "bob is not asked again about the same figures"
    assert HOUR not in due(stream, "auto"), "and is not overruled by the clock"
    named = make_plans(stream.settings, ["ad_events"], HOUR, HOUR, "ask", stream.load)[1]
    assert [plan.hour for plan in named] == [HOUR], "a form that names the hour asks again"
    drop(stream, "ad_events_delta", f"country = 'KR' AND window_start < '{NEXT:%Y-%m-%d %H:%M:%S}'")
    assert HOUR in due(stream), "figures that changed since are asked about"
    answer(stream, run_asked(stream)[0], Answer(False, "bob"))
    assert HOUR not in due(stream), "and that answer is remembered too"
    stream.send([(json.dumps(event(7_000, HOUR)).encode(), HOUR)])
    stream.fold()
    assert HOUR in due(stream), "a late event changes the figures"
    answer(stream, run_asked(stream)[0], Answer(False, ""))
    assert HOUR in due(stream), "silence is no answer"


def test_a_rejected_repair_of_sealed_figures_is_remembered_until_another_row_goes(stream: Stream) -> None:
    stream.reconcile("auto", HOUR, until=NEXT)
    drop(stream, "ad_events_sealed", f"country = 'US' AND window_start < '{NEXT:%Y-%m-%d %H:%M:%S}'")
    assert due(stream) >= {HOUR}
    answer(stream, run_asked(stream)[0], Answer(False, "bob"))
    assert not due(stream) & {HOUR, NEXT}
    drop(stream, "ad_events_sealed", f"country = 'KR' AND window_start < '{NEXT:%Y-%m-%d %H:%M:%S}'")
    assert HOUR in due(stream)


def test_an_approval_is_void_when_the_certificate_changed_meanwhile(stream: Stream) -> None:
    run, _ = run_asked(stream)
    assert only(stream.reconcile("auto")).verdict == "REPAIRED"
    with pytest.raises(CertificateChangedError, match="trigger reconcile_hour again"):
        answer(stream, run, Answer(True, "ann"))
    assert stream.client.execute("SELECT count() FROM certificates WHERE hour = %(h)s", {"h": HOUR}) == [(1,)]


def test_an_approval_mends_the_ledger_once(stream: Stream) -> None:
    for number in range(2):
        stream.send([(json.dumps(event(900 + number * 9 + n, HOUR)).encode(), HOUR) for n in range(4)])
        stream.fold()
    drop(stream, "ledger", f"batch = {batch_id(stream.generation, 1)}")
    run, lines = run_asked(stream)
    assert [(line.verdict, line.waits) for line in lines] == [("DRIFTED", True), ("PROVED", False)]
    assert "ledger gap" in lines[0].reason
    assert stream.client.execute("SELECT count() FROM ledger_repairs") == [(0,)]
    assert only(answer(stream, run, Answer(True, "ann"))).verdict == "REPAIRED"
    assert stream.client.execute("SELECT count() FROM ledger_repairs") == [(4,)]
    assert not due(stream) & {HOUR, NEXT}, "what was approved is not asked again"
    assert stream.served()[0] == 68


def test_hours_of_a_range_that_are_proved_and_unchanged_cost_no_recount(stream: Stream) -> None:
    stream.reconcile("auto", HOUR, until=NEXT)
    parts = (stream.settings, ["ad_events"], HOUR, NEXT, "auto", stream.load)
    assert make_plans(*parts, recount_anyway=False)[1] == []
    drop(stream, "ad_events_sealed", f"country = 'KR' AND window_start >= '{NEXT:%Y-%m-%d %H:%M:%S}'")
    assert [plan.hour for plan in make_plans(*parts, recount_anyway=False)[1]] == [NEXT]
    assert [plan.hour for plan in make_plans(*parts)[1]] == [HOUR, NEXT]


def expire(stream: Stream) -> None:
    """Remove all raw records that are there, as retention does."""
    admin = AdminClient({"bootstrap.servers": stream.settings.kafka_bootstrap_servers})
    ends = [TopicPartition(stream.contract.topic.name, p, len(sent)) for p, sent in stream.sent.items()]
    for future in admin.delete_records(ends).values():
        future.result(30)


def test_a_straggler_after_expiry_is_an_amendment_that_cannot_be_proved(stream: Stream) -> None:
    stream.reconcile("auto", HOUR, until=NEXT)
    sealed = read_certificate(stream.client, "ad_events", HOUR)
    expire(stream)
    stream.send([(json.dumps(event(901, HOUR, country="US")).encode(), datetime.now(UTC))])
    stream.fold()
    assert HOUR in due(stream)
    line = only(stream.reconcile("auto"))
    assert line.verdict == "UNPROVABLE"
    cells = len(stream.contract.cubes)
    assert f"stays, and late events change {cells} cells" in line.reason
    assert read_certificate(stream.client, "ad_events", HOUR) == sealed, "the seal stays"
    assert stream.served()[0] == 61
    found = stream.client.execute("SELECT change, before, after FROM amendments FINAL")
    assert [change for change, _, _ in found] == ["unproved"] * cells
    assert all(before != after for _, before, after in found)
    assert HOUR not in due(stream), "it is looked at once"
    assert [item.certified for item in bad_hours(stream)] == [True]


def test_a_rebuilt_ledger_never_seals_part_of_a_proved_hour(stream: Stream) -> None:
    stream.reconcile("auto", HOUR, until=NEXT)
    sealed = read_certificate(stream.client, "ad_events", HOUR)
    expire(stream)
    stream.client.execute("TRUNCATE TABLE ledger")
    stream.start()
    stream.batches = 0
    stream.folded = {partition: len(sent) for partition, sent in stream.sent.items()}
    stream.send([(json.dumps(event(902, HOUR)).encode(), datetime.now(UTC)) for _ in range(4)])
    stream.fold()
    line = only(stream.reconcile("auto"))
    assert line.verdict == "UNPROVABLE", line
    assert "counted records from offset 0" in line.reason
    assert read_certificate(stream.client, "ad_events", HOUR) == sealed
