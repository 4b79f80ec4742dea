"""Where a launch may begin, and what became of it: the pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from include.spark import heartbeats
from include.spark.arrival import RUNS, STOPPED, TAKEN_OVER, WAITS, Sight
from include.spark.form import CONFIRM_REBUILD, MAX_OFFSETS, START, STREAMS, TRIGGER_SECONDS, optional
from include.spark.heartbeats import Heartbeat
from include.spark.start import (
    Evidence,
    StartRefusedError,
    check_request,
    judge_start,
    lost_ledger,
    parse_start,
)

NOW = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)
START_TEXT = "2026-01-02T11:00:00Z"
KNOWN = Evidence(
    "ad_events",
    frontier={0: 100, 1: 200},
    starts={0: 0, 1: 0},
    asked={0: 100, 1: 200},
    claim=7,
    generation=7,
    kept=(3, 7),
    read_to={0: datetime(2026, 1, 2, 9, 59, tzinfo=UTC), 1: datetime(2026, 1, 2, 8, 1, tzinfo=UTC)},
    ahead=timedelta(hours=1, seconds=60),
)
NEW = Evidence("ad_events", frontier={}, starts={0: 0, 1: 0})


def judged(evidence: Evidence, start: str | None = START_TEXT, **options: Any) -> Any:
    return judge_start(evidence, start, **{"now": NOW, "confirm_rebuild": False, **options})


@pytest.mark.parametrize("start", [None, "", "earliest", START_TEXT])
def test_a_stream_without_ledger_starts_anywhere(start: str | None) -> None:
    assert judged(replace(NEW, asked={0: 50, 1: 50}), start) is None


@pytest.mark.parametrize("start", [None, ""])
def test_a_known_stream_goes_on_where_its_ledger_ends(start: str | None) -> None:
    assert judged(replace(KNOWN, asked=None), start) is None


@pytest.mark.parametrize("asked", [{0: 99, 1: 200}, {0: 150, 1: 199}, {0: 0, 1: 0}])
def test_a_start_below_the_ledger_in_any_partition_is_refused_and_names_reconcile_hour(
    asked: dict[int, int],
) -> None:
    with pytest.raises(StartRefusedError, match=r"count records twice.* reconcile_hour") as refused:
        judged(replace(KNOWN, asked=asked))
    assert "\n" not in str(refused.value)


def test_earliest_is_below_every_ledger() -> None:
    with pytest.raises(StartRefusedError, match="offset 0 of partition 0, and its ledger ends at 100"):
        judged(replace(KNOWN, asked={0: 0, 1: 0}), "earliest")


def test_a_start_that_skips_nothing_needs_nobody() -> None:
    assert judged(KNOWN) is None


def test_a_start_beyond_the_ledger_says_what_it_leaves_out() -> None:
    skip = judged(replace(KNOWN, asked={0: 1_350, 1: 200, 2: 40}, starts={0: 0, 1: 0, 2: 10}))
    assert skip.offsets == {0: (100, 1_350), 2: (10, 40)}
    assert skip.total == 1_280
    assert (skip.first_hour.hour, skip.last_hour.hour) == (9, 13)
    text = skip.text()
    assert "| 0 | 100 | 1,350 | 1,250 |" in text
    assert "UNPROVABLE" in text
    assert "2026-01-02T09 to 2026-01-02T13" in text


def test_a_stream_that_runs_leaves_nothing_out() -> None:
    with pytest.raises(StartRefusedError, match="run stop_stream"):
        judged(replace(KNOWN, asked={0: 150, 1: 200}), running=True)


LOST = {
    "claims, and a ClickHouse that knows of nothing": replace(NEW, claim=4),
    "a takeover row that keeps earlier generations": replace(NEW, claim=7, generation=7, kept=(3, 7)),
    "a heartbeat that told of a batch": replace(NEW, claim=7, generation=7, kept=(7,), told=7 << 40 | 5),
    "ledger rows without a takeover row": replace(NEW, claim=7, ledger_rows=9, launches=1),
}


@pytest.mark.parametrize("evidence", LOST.values(), ids=LOST.keys())
def test_a_lost_ledger_is_refused_until_a_person_confirms(evidence: Evidence) -> None:
    with pytest.raises(StartRefusedError, match=r"lost its ledger .* confirm_rebuild") as refused:
        judged(evidence, None)
    assert "\n" not in str(refused.value)
    assert judged(evidence, None, confirm_rebuild=True) is None
    with pytest.raises(StartRefusedError, match="leave start empty"):
        judged(evidence, START_TEXT, confirm_rebuild=True)


NOT_LOST = {
    "never claimed": NEW,
    "idle: a takeover row and no record yet": replace(NEW, claim=7, generation=7, kept=(7,), launches=1),
    "the driver died between claim and takeover": replace(NEW, claim=4, launches=1),
    "a stale driver wrote void rows": replace(NEW, claim=7, generation=7, kept=(7,), ledger_rows=3),
    "it has a ledger": KNOWN,
}


@pytest.mark.parametrize("evidence", NOT_LOST.values(), ids=NOT_LOST.keys())
def test_a_stream_that_never_committed_has_lost_nothing(evidence: Evidence) -> None:
    assert lost_ledger(evidence) is None


def test_a_recreated_control_topic_is_refused() -> None:
    with pytest.raises(StartRefusedError, match="newest claim in Kafka is 2, below generation 7"):
        judged(replace(KNOWN, claim=2), None, confirm_rebuild=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T11:00:00", datetime(2026, 1, 2, 11, tzinfo=UTC)),
        ("2026-01-02T11:00:00+02:00", datetime(2026, 1, 2, 9, tzinfo=UTC)),
        ("earliest", None),
        ("", None),
        (None, None),
    ],
)
def test_a_start_without_offset_is_utc(text: str | None, expected: datetime | None) -> None:
    assert parse_start(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "nor an ISO timestamp"),
        ("2026-02-30T00:00:00Z", "nor an ISO timestamp"),
        ("2026-01-02T12:30:01Z", "in the future"),
        ("1969-12-31T23:59:59Z", "before 1970"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_by_value(text: str, why: str) -> None:
    with pytest.raises(StartRefusedError, match=why) as refused:
        parse_start(text, NOW)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"streams": ("clicks",)}, "no such stream: clicks; there are ad_events"),
        ({"streams": ()}, "no stream was chosen"),
        ({"trigger_seconds": 0.1}, "trigger interval 0.1 s"),
        ({"trigger_seconds": float("nan")}, "trigger interval nan s"),
        ({"max_offsets": 999}, "rate limit 999"),
        ({"max_offsets": 1_000_001}, "rate limit 1,000,001"),
        ({"start": "soon"}, "start 'soon'"),
    ],
)
def test_values_out_of_bounds_are_refused_in_one_line(change: dict[str, Any], why: str) -> None:
    request = {"streams": ("ad_events",), "trigger_seconds": 1.0, "max_offsets": 0, "start": None}
    check_request(known=["ad_events"], now=NOW, **request)
    with pytest.raises(StartRefusedError, match=why) as refused:
        check_request(known=["ad_events"], now=NOW, **(request | change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (STREAMS, [["ad_events"]], [[], ["clicks"], "ad_events"]),
        (TRIGGER_SECONDS, [0.2, 60], [0.1, 61, None, "1"]),
        (optional(TRIGGER_SECONDS, ""), [None, 1], [0.1]),
        (MAX_OFFSETS, [1_000, 1_000_000], [999, 1_000_001, 1_000.5]),
        (START, [None, "", "earliest", "2026-01-01T00:00:00Z", "2026-01-01T00:00+02:00"], ["now", "2026", 1]),
        (CONFIRM_REBUILD, [True, False], ["yes", None]),
    ],
)
def test_the_form_refuses_nonsense_before_a_run_begins(
    field: dict[str, Any], good: list[object], bad: list[object]
) -> None:
    schema = jsonschema.Draft7Validator(field)
    assert [value for value in good if not schema.is_valid(value)] == []
    assert [value for value in bad if schema.is_valid(value)] == []
    assert field["title"]


BORN = 1_767_357_000.0


def beat(launch: str, generation: int, state: str = "running", age: float = 1.0) -> Heartbeat:
    return Heartbeat("ad_events", int((BORN - age) * 1000), launch, generation, state, 0, 0, "")


OURS, THEIRS = beat("ours", 5), beat("theirs", 6)


@pytest.mark.parametrize(
    ("sight", "verdict"),
    [
        (Sight(None, None, 0), WAITS),
        (Sight(beat("ours", 0, "starting"), None, 4), WAITS),
        (Sight(OURS, OURS, 5), RUNS),
        (Sight(OURS, OURS, 5, committed=False), WAITS),
        (Sight(beat("ours", 5, age=20), None, 5), WAITS),
        (Sight(OURS, OURS, 6), WAITS),
        (Sight(OURS, THEIRS, 6), TAKEN_OVER),
        (Sight(beat("ours", 5, "fenced"), THEIRS, 6, dead=True), TAKEN_OVER),
        (Sight(OURS, beat("theirs", 6, "starting"), 6), WAITS),
        (Sight(OURS, beat("theirs", 6, age=20), 6), WAITS),
        (Sight(None, THEIRS, 6), WAITS),
        (Sight(None, THEIRS, 6, dead=True), TAKEN_OVER),
        (Sight(beat("ours", 0, "starting"), None, 4, ordered_away=True), STOPPED),
        (Sight(OURS, OURS, 5, committed=False, ordered_away=True), WAITS),
        (Sight(beat("ours", 5, "stopped"), None, 5, ordered_away=True, dead=True), STOPPED),
    ],
    ids=[
        "nothing is seen",
        "it has not claimed",
        "it runs",
        "data waits and nothing is committed",
        "it hangs",
        "somebody claimed after it",
        "a newer launch runs",
        "a newer launch runs and ours has ended",
        "a newer launch is starting",
        "the newer launch hangs",
        "an older launch still runs while ours starts",
        "another runs and ours is dead",
        "a stop was ordered before it claimed",
        "a stop was ordered and it will hear of it",
        "it was stopped",
    ],
)
def test_what_became_of_a_launch(sight: Sight, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(time=lambda: BORN))
    assert sight.verdict() == verdict


def test_only_a_claim_of_another_launch_overtakes() -> None:
    assert Sight(OURS, beat("theirs", 6, "starting"), 6).is_overtaken()
    assert not Sight(OURS, OURS, 6).is_overtaken(), "the claim may be its own, and not told of yet"
    assert not Sight(OURS, beat("ours", 6, "starting"), 6).is_overtaken()
    assert not Sight(OURS, OURS, 5).is_overtaken()
