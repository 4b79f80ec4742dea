"""The check of the random faults is itself seen to fail: undetected, unrepaired, false alarm, never proved."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.reconcile.inject.kinds import KINDS
from tests.prove.checks import Outcome, judge_round
from tests.prove.draw import BEFORE, JUDGED, REOPENED, SEALED, UNSEALED, Fault, draw_faults, kinds_for
from tests.prove.report import table
from tests.prove.seen import Cells, Seen, Verdict

HOURS = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
DAMAGED, CLEAN, OTHER = HOURS
PROVED = Verdict("PROVED", "equal at once", ())
REPAIRED = Verdict("REPAIRED", "served figures differ in 1 cells", ("lost_row",))
FAULT = Fault(1, "lost_row", DAMAGED, SEALED, BEFORE, 1, 7)


def cells(hour: datetime, events: int = 5) -> Cells:
    return {(hour, "click", "US", "banner"): (events, 90_000, "sealed")}


def a_round() -> Seen:
    """One hour damaged before the run, found, mended and proved; two clean ones."""
    right = {hour: cells(hour) for hour in HOURS}
    return Seen(
        number=1,
        hours=HOURS,
        faults=[FAULT],
        accounts={1: "ad_events_sealed: a row"},
        reached={DAMAGED},
        first={DAMAGED: REPAIRED, CLEAN: PROVED, OTHER: PROVED},
        second=dict.fromkeys(HOURS, PROVED),
        truth=right,
        after_first=dict(right),
        after_all=dict(right),
    )


def only_failure(seen: Seen) -> str:
    failures = judge_round(seen).failures
    assert len(failures) == 1, failures
    return failures[0]


def test_a_fault_that_is_found_mended_and_proved_passes() -> None:
    judged = judge_round(a_round())
    assert (judged.outcomes, judged.clean_hours, judged.failures) == ([Outcome(FAULT, "caught", True)], 2, [])


def test_a_fault_that_the_run_does_not_see_is_undetected_and_can_be_done_again() -> None:
    seen = a_round()
    seen.first[DAMAGED] = PROVED
    assert only_failure(seen) == (
        "fault 1: lost_row of size 1 in sealed hour 2026-01-01T00, before, seed 7: undetected, the run says "
        "PROVED (equal at once); ad_events_sealed: a row"
    )


def test_a_clean_hour_that_is_called_repaired_is_a_false_alarm() -> None:
    seen = a_round()
    seen.first[CLEAN] = REPAIRED
    assert "2026-01-01T01: false alarm, the first run says REPAIRED" in only_failure(seen)


def test_one_wrong_cell_after_the_repair_is_unrepaired() -> None:
    seen = a_round()
    seen.after_first[DAMAGED] = cells(DAMAGED, events=4)
    assert (
        "not repaired, 1 cells are wrong after the first run, first 00:00:00 click US banner"
        in only_failure(seen)
    )


def test_a_cell_that_stays_provisional_is_unrepaired() -> None:
    seen = a_round()
    key = (CLEAN, "click", "US", "banner")
    seen.after_all[CLEAN] = {key: (5, 90_000, "provisional")}
    assert "2026-01-01T01: not repaired, 1 cells are wrong at the end" in only_failure(seen)


def test_late_events_that_came_while_the_run_went_on_may_wait_for_the_next_run() -> None:
    seen = a_round()
    seen.faults.append(replace(FAULT, number=2, kind="late_event", hour=OTHER, when=JUDGED))
    seen.after_first[OTHER] = cells(OTHER, events=6)
    assert judge_round(seen).failures == []


def test_a_damaged_hour_that_is_found_and_not_repaired_fails() -> None:
    seen = a_round()
    seen.second[DAMAGED] = seen.first[DAMAGED] = Verdict("DRIFTED", "served figures differ in 1 cells", ())
    seen.reached_during.add(DAMAGED)
    seen.faults = [replace(FAULT, kind="ledger_gap", when=JUDGED)]
    failures = judge_round(seen).failures
    assert "fault 1: ledger_gap of size 1" in failures[0]
    assert "undetected by two runs" in failures[0]
    assert [failure.split(",")[0] for failure in failures[1:]] == [
        "2026-01-01T00: not repaired",
        "2026-01-01T00: not repaired",
        "2026-01-01T00: never proved",
    ]


@pytest.mark.parametrize("run", ["first", "second"])
def test_an_hour_of_which_a_run_says_nothing_fails(run: str) -> None:
    seen = a_round()
    del getattr(seen, run)[CLEAN]
    assert only_failure(seen) == f"2026-01-01T01: the {run} run says nothing of it"


def test_a_cell_that_is_served_of_nothing_sent_is_unrepaired() -> None:
    seen = a_round()
    seen.truth[CLEAN] = {}
    assert [failure.split(",")[0] for failure in judge_round(seen).failures] == [
        "2026-01-01T01: not repaired"
    ] * 2


def test_an_hour_that_needs_a_second_repair_is_not_proved_at_once() -> None:
    seen = a_round()
    seen.second[DAMAGED] = REPAIRED
    assert [failure.split(",")[0] for failure in judge_round(seen).failures] == [
        "2026-01-01T00: not proved at once",
        "2026-01-01T00: never proved",
    ]


def test_an_hour_that_the_fault_of_another_reached_must_be_found_too() -> None:
    seen = a_round()
    seen.reached.add(OTHER)
    assert "2026-01-01T02: reached by the fault of another hour and undetected" in only_failure(seen)
    assert judge_round(seen).clean_hours == 1


def test_a_fault_that_another_took_back_is_undone_and_its_hour_must_be_proved() -> None:
    seen = a_round()
    seen.reached.clear()
    assert [outcome.fate for outcome in judge_round(seen).outcomes] == ["undone"]
    assert "2026-01-01T00: not proved at once, the first run says REPAIRED" in only_failure(seen)


@pytest.mark.parametrize(
    ("kind", "fate", "failures"), [("lost_row", "superseded", 0), ("ledger_gap", "superseded", 1)]
)
def test_what_is_damaged_after_the_judgement_may_be_superseded_by_the_seal_but_never_the_ledger(
    kind: str, fate: str, failures: int
) -> None:
    seen = a_round()
    seen.faults = [replace(FAULT, kind=kind, when=JUDGED)]
    seen.reached, seen.reached_during = set(), {DAMAGED}
    seen.first[DAMAGED] = PROVED
    judged = judge_round(seen)
    assert [outcome.fate for outcome in judged.outcomes] == [fate]
    assert len(judged.failures) == failures, judged.failures


def test_faults_repeat_with_the_seed_and_hit_each_hour_once() -> None:
    states = {
        HOURS[0] + timedelta(hours=at): (UNSEALED, REOPENED, SEALED, SEALED)[at % 4] for at in range(60)
    }
    drawn = draw_faults(random.Random("1/1"), states, 30, 1)
    assert drawn == draw_faults(random.Random("1/1"), states, 30, 1)
    assert len(drawn) == len({fault.hour for fault in drawn}) == 30
    assert all(fault.kind in kinds_for(states[fault.hour]) for fault in drawn)


def test_every_class_can_be_drawn() -> None:
    assert set(kinds_for(UNSEALED)) == set(KINDS)


def test_the_table_sums_up() -> None:
    last = table(
        [Outcome(FAULT, "caught", True), Outcome(replace(FAULT, kind="late_event"), "counted", True)]
    )
    assert last.splitlines()[-1].split() == ["all", "2", "2", "0", "1", "1", "0", "0", "1"]
