"""A reconciliation that is killed and run again, two at once, and rows that change under a seal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.reconcile import candidates, mend, plan, seal, store
from include.reconcile.report import HoursNotProvedError, require_no_failure
from include.reconcile.types import CertificateChangedError
from include.settings import Settings
from include.streaming.ledger import batch_id, read_commit_state
from include.warehouse.sql import read_sql
from tests.reconciling import HOUR, Stream, drop, event, only

EVENTS = 200


class KilledError(RuntimeError):
    """What a kill looks like to the code that it hits."""


@pytest.fixture
def stream(clickhouse: Client, control_topic: Settings, kafka_topic: str, spark: SparkSession) -> Stream:
    """An hour of a stream with two cubes, some of whose deltas are lost."""
    contract = load_contract("ad_events")
    cube = contract.cubes[0]
    by_country = cube.model_copy(
        update={"name": "by_country", "pane_seconds": 300, "dimensions": ("country",)}
    )
    topic = contract.topic.model_copy(update={"name": kafka_topic})
    contract = contract.model_copy(update={"topic": topic, "cubes": (cube, by_country)})
    settings = control_topic.model_copy(update={"grace_seconds": 0.0})
    for template in ("cubes/delta.sql.j2", "cubes/sealed.sql.j2"):
        clickhouse.execute(read_sql(template, cube=by_country))
    own = Stream(settings, clickhouse, contract, spark)
    own.start()
    moments = [HOUR + timedelta(seconds=18 * number) for number in range(EVENTS)]
    own.send([(json.dumps(event(n, moment)).encode(), moment) for n, moment in enumerate(moments)])
    own.fold()
    drop(own, "ad_events_delta", "country = 'US' AND toMinute(window_start) < 20")
    return own


def kill_at(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, step: Callable[[], object], after: bool = False
) -> None:
    """Run a step that is killed where it calls `name`, before the call or after it."""
    real = getattr(module, name)

    def killed(*args: Any, **kwargs: Any) -> None:
        if after:
            real(*args, **kwargs)
        raise KilledError(name)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        with pytest.raises(KilledError):
            step()


def certificates(stream: Stream) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = stream.client.execute(
        "SELECT seal, verdict, events, digest FROM certificates WHERE hour = %(hour)s ORDER BY seal",
        {"hour": HOUR},
    )
    return found


def test_killed_anywhere_and_run_again_it_gives_the_same_figures_under_one_certificate(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, plan, "newest_claim", stream.plan)
    kill_at(monkeypatch, store, "write_plans", stream.plan)
    run = stream.plan()
    # One cube written, the other not.
    kill_at(monkeypatch, candidates, "_require_equal", lambda: stream.recount(run))
    kill_at(monkeypatch, store, "write_recount", lambda: stream.recount(run))
    stream.recount(run)
    kill_at(monkeypatch, store, "write_judgement", lambda: stream.judge(run))
    stream.judge(run)
    assert certificates(stream) == []
    kill_at(monkeypatch, seal, "_insert_certificate", lambda: stream.seal(run))
    assert certificates(stream) == []
    kill_at(monkeypatch, seal, "_insert_certificate", lambda: stream.seal(run), after=True)
    kill_at(monkeypatch, seal, "_publish_verdict", lambda: stream.seal(run))
    assert only(stream.seal(run)).verdict == "REPAIRED"
    assert only(stream.seal(run)).verdict == "REPAIRED", "and once more"
    assert [row[1:3] for row in certificates(stream)] == [("REPAIRED", EVENTS)]
    assert stream.served()[0] == EVENTS
    assert stream.client.execute("SELECT count() FROM verdicts") == [(1,)]
    (line,) = stream.reconcile()
    assert (line.verdict, line.reason) == ("PROVED", "equal at once")
    first, second = certificates(stream)
    assert first[2:] == second[2:], "the same events and digest"


def test_two_reconciliations_of_an_hour_at_once_do_no_harm(stream: Stream) -> None:
    first, second, third = stream.plan(), stream.plan(), stream.plan()
    stream.recount(second)
    stream.recount(first)
    stream.judge(first)
    stream.judge(second)
    assert only(stream.seal(second)).verdict == "REPAIRED"
    in_force = certificates(stream)
    with pytest.raises(CertificateChangedError, match="trigger reconcile_hour again"):
        stream.seal(first)
    stream.recount(third)
    with pytest.raises(CertificateChangedError):
        stream.judge(third)
    assert certificates(stream) == in_force
    assert stream.served()[0] == EVENTS
    assert only(stream.reconcile()).verdict == "PROVED"


def test_two_repairs_of_a_ledger_at_once_write_the_same_rows(stream: Stream) -> None:
    for number in range(2):
        stream.send([(json.dumps(event(900 + number * 9 + n, HOUR)).encode(), HOUR) for n in range(4)])
        stream.fold()
    whole = read_commit_state(stream.client, "ad_events").rows
    drop(stream, "ledger", f"batch = {batch_id(stream.generation, 1)}")
    parts = (stream.settings, stream.client, stream.contract)
    seen = mend.read_ledger(*parts, write=False)
    assert [repair.fault.kind for repair in seen.repairs] == ["gap"] * 4
    mended = mend.read_ledger(*parts, write=True).state.rows
    assert _comparable(seen.state.rows) == _comparable(mended)
    mend._write(*parts, seen.repairs)
    assert _comparable(read_commit_state(stream.client, "ad_events").rows) == _comparable(whole)


def _comparable(rows: list[Any]) -> list[Any]:
    return sorted(
        (r.batch, r.partition, r.start_offset, r.end_offset, r.accepted, r.hour_events) for r in rows
    )


def test_a_repair_whose_rows_change_before_it_is_certified_is_withdrawn(stream: Stream) -> None:
    run = stream.plan()
    stream.recount(run)
    stream.judge(run)
    drop(stream, "ad_events_sealed", "country = 'KR' AND toMinute(window_start) < 10")
    lines = stream.seal(run)
    assert only(lines).verdict == "DRIFTED"
    assert "REPAIRED is withdrawn" in only(lines).reason
    with pytest.raises(HoursNotProvedError, match="before it was certified"):
        require_no_failure(lines)
    assert certificates(stream) == []
    assert only(stream.reconcile()).verdict == "REPAIRED"
    assert stream.served()[0] == EVENTS


def test_rows_that_change_right_after_the_certificate_fail_the_run_and_are_repaired_by_the_next(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stream.plan()
    stream.recount(run)
    stream.judge(run)
    insert = seal._insert_certificate

    def then_damaged(*args: Any) -> None:
        insert(*args)
        drop(stream, "ad_events_sealed", "country = 'KR' AND toMinute(window_start) < 10")

    with monkeypatch.context() as patch:
        patch.setattr(seal, "_insert_certificate", then_damaged)
        lines = stream.seal(run)
    assert only(lines).verdict == "DRIFTED"
    assert "right after it was certified" in only(lines).reason
    (repaired,) = [line for line in stream.reconcile(hour=None) if line.hour == f"{HOUR:%Y-%m-%dT%H}"]
    assert repaired.verdict == "REPAIRED"
    assert "not those that were certified" in repaired.reason
    assert stream.served()[0] == EVENTS
