"""Judging dead letters again, choosing them by a form, and which hours are sealed again; the queries on chdb."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.contracts.classifier import REASONS, Classifier
from include.forms import FormError
from include.replay import steps
from include.replay.form import parse_choice
from include.replay.judge import Passed, judge
from include.replay.letters import LAST_MS, Choice, Letter
from include.replay.originals import EXPIRED, READ_THROUGH, Missing
from include.replay.run import Folded, Outcome, reconcile_forms
from include.settings import PROJECT_ROOT
from include.streaming import replays
from include.streaming.query import Query
from include.streaming.replays import Replay, ReplayFoldError, folded_cubes
from tests.helpers import KAFKA_MS, MOMENT, ad_events, encoded

HOUR = MOMENT.replace(minute=0, second=0, microsecond=0)
FORM = {"reasons": ["schema"], "from_time": None, "to_time": None}


def letter(offset: int, partition: int = 0, payload_bytes: int = 10) -> Letter:
    return Letter(partition, offset, KAFKA_MS, "schema", payload_bytes, "")


def passed(*values: bytes, hour: datetime = HOUR) -> list[Passed]:
    return [Passed(letter(i, i % 2), value, int(hour.timestamp())) for i, value in enumerate(values)]


def test_letters_are_judged_by_their_record_and_kafka_time() -> None:
    values = {(0, 1): encoded(), (0, 2): encoded(country="XX"), (0, 3): None, (0, 4): Missing(EXPIRED)}
    found = judge(Classifier(ad_events()), [letter(offset) for _, offset in values], values)
    assert found.passed == [Passed(letter(1), encoded(), int(HOUR.timestamp()))]
    assert found.rejected == {("schema", "schema"): 1, ("schema", "malformed"): 1}
    assert found.unjudged == {("schema", EXPIRED): 1}


def test_replays_are_folded_like_any_record_and_listed_in_a_row_that_spans_no_offset() -> None:
    contract = ad_events()
    letters = passed(encoded(), encoded(), encoded(country="US"))
    cubes = folded_cubes(contract, letters)
    assert list(cubes) == ["cube:ad_events", "cube:ad_arrival"]
    rows = cubes["cube:ad_events"].to_pylist()
    figures = {row["country"]: (row["event_count"], row["revenue"]) for row in rows}
    assert figures == {"UK": (2, 33_000), "US": (1, 16_500)}
    row = Replay(letters, cubes, (1, 3)).ledger_row(contract, 7, 2, 50)
    assert (row.partition, row.start_offset, row.lost_to, row.end_offset) == (2, 50, 50, 50)
    assert (row.accepted, row.rejected, row.non_records, row.hours) == (0, 0, 0, [])
    assert (row.replayed_partitions, row.replayed_offsets) == ([0, 1, 0], [0, 1, 2])
    assert row.replayed_hours == [HOUR] * 3


@pytest.mark.parametrize("value", [encoded(country="XX"), b"{"])
def test_a_record_that_the_fold_judges_otherwise_is_never_written(value: bytes) -> None:
    with pytest.raises(ReplayFoldError, match="the fold"):
        folded_cubes(ad_events(), passed(encoded(), value))
    with pytest.raises(ReplayFoldError):
        folded_cubes(ad_events(), passed(encoded(), hour=HOUR + timedelta(hours=1)))


def test_a_batch_takes_a_bounded_number_of_bytes_and_reads_and_at_least_one_letter() -> None:
    sizes = [letter(0, payload_bytes=70), letter(1, payload_bytes=20), letter(2, payload_bytes=20)]
    assert len(replays._within(sizes, 100)) == 2
    assert len(replays._within(sizes, 10)) == 1
    assert replays._within([], 10) == []
    far = [letter(READ_THROUGH * number) for number in range(20)]
    assert len(replays._within(far)) == 10
    assert len(replays._within([letter(number) for number in range(1000)])) == 1000


def test_after_a_batch_that_failed_a_query_commits_nothing() -> None:
    query = Query.__new__(Query)
    query._turn, query._cause = (
        threading.Lock(),
        RuntimeError("it failed between its deltas and its ledger rows"),
    )
    query._frontier, query._unrecorded = {0: 1}, set()
    query._replays = Waiting()
    with pytest.raises(RuntimeError, match="a batch of this query failed"):
        query._batch(None, 1)
    query._replay()
    assert not query._turn.locked()


class Waiting(replays.Replays):
    """Has always something to replay."""

    def __init__(self) -> None:
        pass

    def next(self) -> Replay:
        return Replay([], {}, (0, 0))


def test_a_form_chooses_reasons_and_times() -> None:
    assert parse_choice({**FORM, "reasons": list(REASONS)}) == Choice(tuple(sorted(REASONS)), -1, LAST_MS)
    chosen = parse_choice(
        {**FORM, "from_time": "2026-01-01T00:00:00", "to_time": "2026-01-01T01:00:00+01:00"[:19]}
    )
    assert (chosen.from_ms, chosen.to_ms) == (1_767_225_600_000, 1_767_229_200_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reasons": ["bad"]}, "bad"),
        ({"reasons": []}, "choose from"),
        ({"from_time": "yesterday"}, "from_time 'yesterday' is no ISO 8601 time"),
        ({"from_time": "2026-01-02", "to_time": "2026-01-01"}, "nothing is between"),
    ],
)
def test_nonsense_in_a_form_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormError, match=message):
        parse_choice({**FORM, **change})


def test_a_form_that_makes_no_sense_is_not_tried_again() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    form = {**FORM, "stream": "ad_events", "dry_run": True, "from_time": "yesterday"}
    with pytest.raises(AirflowFailException, match="from_time 'yesterday'"):
        steps.judge(form, None)


def test_a_run_in_which_nothing_passes_says_why() -> None:
    none: dict[str, Any] = {
        "passed": Counter(),
        "rejected": Counter(),
        "unjudged": Counter(),
        "hours": Counter(),
    }
    rejected = {**none, "rejected": Counter({("malformed", "malformed"): 3})}
    gone = {**none, "unjudged": Counter({("malformed", EXPIRED): 3})}
    said = [
        Outcome("ad_events", 2, judged, **counts).figures()["nothing passed"]
        for judged, counts in ((0, none), (3, rejected), (0, gone))
    ]
    assert "no dead letter of this choice" in said[0]
    assert "version 2 of the contract rejects all" in said[1]
    assert "Kafka has none" in said[2]
    some = Outcome("ad_events", 2, 1, **{**none, "passed": Counter({"schema": 1})})
    assert "nothing passed" not in some.figures()
    assert "approved no record" in str(Folded(0, {}, "").figures())
    assert "approved no record" not in str(Folded(2, {HOUR: 2}, "").figures())


def test_hours_are_sealed_again_in_stretches_of_at_most_a_day() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=h) for h in (*range(30), 40)]
    forms = reconcile_forms("ad_events", hours[::-1])
    assert [(form["from_hour"], form["to_hour"]) for form in forms] == [
        ("2026-01-01T00:00:00Z", "2026-01-01T23:00:00Z"),
        ("2026-01-02T00:00:00Z", "2026-01-02T05:00:00Z"),
        ("2026-01-02T16:00:00Z", "2026-01-02T16:00:00Z"),
    ]
    assert reconcile_forms("ad_events", []) == []


PROGRAM = """
import json
from chdb import session as chdb
from include.warehouse.migrate import schema_statements
from include.warehouse.sql import read_sql
session = chdb.Session()
session.query("CREATE DATABASE d ENGINE = Atomic")
session.query("USE d")
for statement in schema_statements():
    session.query(statement)
G = 1 << 40
letter = "INSERT INTO dead_letters (stream, partition, record_offset, batch, kafka_time, reason, day) VALUES "
session.query(letter + ", ".join(f"('s', {p}, {o}, {b}, 1000, 'schema', '1970-01-01')" for p, o, b in
    [(0, 1, G + 1), (0, 2, G + 1), (0, 3, G + 9), (1, 1, G + 1), (1, 2, G + 1)]))
approval = "INSERT INTO replay_approvals VALUES "
session.query(approval + ", ".join(f"('s', {p}, {o}, 2, 'r', '2026-01-01 00:00:00')" for p, o in
    [(0, 1), (0, 3), (1, 1)]))
row = "INSERT INTO ledger (stream, batch, partition, replayed_partitions, replayed_offsets, replayed_hours) VALUES "
session.query(row + f"('s', {G + 2}, 0, [0], [1], [toDateTime(3600)]), ('s', {G + 9}, 0, [1], [1], [toDateTime(3600)])")
values = {"stream": "'s'", "generations": [1], "limits": [G + 2], "version": 2, "partition": 0, "offset": 0, "most": 10,
          "from_day": 0, "to_day": 9, "from_ms": -1, "to_ms": 2000, "reasons": ["schema"], "run": "'r'", "since": 0}
def ask(name, **identifiers):
    return json.loads(str(session.query(read_sql("replay/" + name, **identifiers) % values, "JSONCompact")))["data"]
print("ROWS" + json.dumps([ask("letters.sql.j2", approved=True), ask("letters.sql.j2", approved=False),
    ask("folded.sql.j2"), ask("approved_by.sql"), ask("approvals_mark.sql")]))
"""


def test_letters_are_found_on_the_current_dialect_as_on_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT_ROOT,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("ROWS")]
    assert found, done.stderr[-3000:]
    approved, chosen, folded, by, mark = json.loads(found[0].removeprefix("ROWS"))

    def places(rows: list[list[Any]]) -> list[tuple[int, int]]:
        return [(int(row[0]), int(row[1])) for row in rows]

    assert places(approved) == [(1, 1)], (
        "not the replayed one, nor one of a void batch; a void replay is none"
    )
    assert places(chosen) == [(0, 2), (1, 2)]
    assert [int(row[1]) for row in folded] == [1]
    assert (int(by[0][0]), int(mark[0][0])) == (3, 3)
