"""What a person is asked before a repair, and what their answer makes of an hour."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.reconcile.approval import WAITS, WaitingHour, answer_of, answered, body, needs_answer, subject
from include.reconcile.report import HourLine, HoursNotProvedError, require_no_failure
from include.reconcile.types import Answer, Difference, Differences, HourPlan, Judgement

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
ASKED = HourPlan("run", "ad_events", HOUR, 11, 1, 1 << 40, None, contract_version=1, repair="ask")
CELL = Difference("ad_events", HOUR, "country=U|S", "missing", "event_count=3", "", "lost_row")
MENDABLE = Judgement("REPAIRED", "served figures differ", Differences(missing=30, cells=(CELL,) * 30))


def test_a_mendable_hour_is_drifted_until_a_person_approves() -> None:
    assert needs_answer(ASKED, MENDABLE)
    waiting = answered(ASKED, MENDABLE, None)
    assert (waiting.verdict, waiting.reason) == ("DRIFTED", f"{WAITS}: served figures differ")
    assert waiting.differences == MENDABLE.differences
    assert answered(ASKED, MENDABLE, Answer(True, "ann")) == MENDABLE


@pytest.mark.parametrize(("by", "said"), [("bob", "rejected by bob"), ("", "not approved within 24 hours")])
def test_a_rejection_and_silence_leave_it_drifted(by: str, said: str) -> None:
    judgement = answered(ASKED, MENDABLE, Answer(False, by))
    assert judgement.verdict == "DRIFTED"
    assert said in judgement.reason


def test_an_hour_that_is_proved_asks_nobody() -> None:
    proved = Judgement("PROVED", "equal at once")
    assert not needs_answer(ASKED, proved)
    assert answered(ASKED, proved, None) == proved


def test_the_question_holds_reason_figures_before_and_after_and_the_first_differences() -> None:
    item = WaitingHour(
        ASKED, MENDABLE, (("ad_events", "event_count", 197, 1200), ("ad_events", "revenue", 5, 5))
    )
    assert subject([item]) == "Repair ad_events 2026-01-01T05?"
    assert subject([item] * 6).endswith("and 2 more?")
    text = body([item])
    assert "served figures differ" in text
    assert "| ad_events | event_count | 197 | 1,200 |" in text
    assert "revenue" not in text, "what a repair does not change is no help to decide"
    assert "1 of 2 totals of the hour stay as they are" in text
    assert "20 of 30 differing cells" in text
    assert "| 05:00 | country=U\\|S | missing lost_row | event_count=3 | nothing |" in text


def test_a_mismatched_cell_shows_the_figures_that_differ() -> None:
    cell = Difference(
        "c", HOUR, "k=1", "mismatched", "n=3 low=1 high=9", "n=4 low=1 high=8", "altered_figure"
    )
    item = WaitingHour(ASKED, Judgement("REPAIRED", "differ", Differences(mismatched=1, cells=(cell,))), ())
    assert "| mismatched altered_figure | n=3 high=9 | n=4 high=8 |" in body([item])


def test_an_answer_names_its_user_and_the_clock_names_nobody() -> None:
    user = {"id": "7", "name": "ann"}
    assert answer_of({"chosen_options": ["Approve"], "responded_by_user": user}, "Approve") == Answer(
        True, "ann"
    )
    late = {"chosen_options": ["Reject"], "responded_by_user": None}
    assert answer_of(late, "Approve") == Answer(False, "")


def test_waiting_does_not_fail_the_run_and_a_rejection_that_stays_does() -> None:
    judgement = answered(ASKED, MENDABLE, None)
    require_no_failure([HourLine.of(ASKED, None, judgement, waits=True)])
    with pytest.raises(HoursNotProvedError, match="waits for an approval"):
        require_no_failure([HourLine.of(ASKED, None, judgement)])
