"""The verdict of an hour on crafted measurements: each class of difference and each verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from include.reconcile.judge import Measured, judge
from include.reconcile.types import Difference, Differences, PartitionBalance

HOUR = datetime(2026, 1, 1, tzinfo=UTC)
BALANCE = PartitionBalance(
    partition=0,
    ranges=((0, 10),),
    offsets=10,
    this_hour=5,
    other_hours=2,
    rejected_by_reason={"malformed": 1, "schema": 1},
    non_records=1,
    ledger_non_records=1,
    late=0,
    duplicates=0,
)
EQUAL = Measured(
    repair_allowed=True,
    balances=(BALANCE,),
    findings=(),
    as_they_came=Differences(),
    exact=Differences(),
    base_digest=("ad_events=1-2-3", "ad_events=1-2-3"),
    events_as_they_came=5,
)


def cell(kind: str, dimensions: str = "country=US") -> Difference:
    return Difference("ad_events", HOUR, dimensions, kind, "event_count=2", "event_count=1")


def test_equal_at_once_is_proved() -> None:
    assert judge(EQUAL).verdict == "PROVED"
    assert judge(replace(EQUAL, exact=None, base_digest=None)).verdict == "PROVED"
    assert judge(replace(EQUAL, repair_allowed=False)).verdict == "PROVED"


@pytest.mark.parametrize("kind", ["missing", "excess", "mismatched"])
@pytest.mark.parametrize("side", ["as_they_came", "exact"])
def test_each_class_of_difference_is_repaired_or_drifted_and_counted(kind: str, side: str) -> None:
    measured = replace(EQUAL, **{side: Differences(**{kind: 1}, cells=(cell(kind),))})
    repaired = judge(measured)
    assert repaired.verdict == "REPAIRED"
    assert getattr(repaired.differences, kind) == repaired.differences.total == 1
    assert judge(replace(measured, repair_allowed=False)).verdict == "DRIFTED"


def test_a_cell_that_differs_in_both_comparisons_is_counted_once() -> None:
    both = replace(
        EQUAL,
        as_they_came=Differences(missing=1, cells=(cell("missing"),)),
        exact=Differences(missing=1, mismatched=1, cells=(cell("missing"), cell("mismatched", "country=DE"))),
    )
    found = judge(both).differences
    assert (found.missing, found.excess, found.mismatched, len(found.cells)) == (1, 0, 1, 2)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"findings": ("mislabel in partition 2",)}, "mislabel in partition 2"),
        ({"base_digest": ("ad_events=1-2-3", "ad_events=1-2-4")}, "not those that were certified"),
        ({"base_digest": ("ad_events=1-2-3", "")}, "not those that were certified"),
        ({"balances": (replace(BALANCE, ledger_non_records=2),)}, "does not balance"),
        ({"events_as_they_came": 6}, "6 events of this hour were read, its ranges hold 5"),
    ],
)
def test_anything_that_disagrees_is_never_proved_and_says_why(damage: dict[str, object], reason: str) -> None:
    damaged = replace(EQUAL, **damage)  # type: ignore[arg-type]
    assert judge(damaged).verdict == "REPAIRED"
    assert reason in judge(damaged).reason
    assert judge(replace(damaged, repair_allowed=False)).verdict == "DRIFTED"


@pytest.mark.parametrize(
    "torn", [{"other_hours": 1}, {"non_records": -1, "other_hours": 4}, {"each_once": False}]
)
def test_a_recount_that_did_not_judge_each_record_once_repairs_nothing(torn: dict[str, Any]) -> None:
    found = judge(replace(EQUAL, balances=(replace(BALANCE, **torn),)))
    assert found.verdict == "DRIFTED"
    assert "partition 0 does not balance" in found.reason
    assert "the recount did not judge each record that it read once, in partitions [0]" in found.reason


def test_an_empty_hour_is_proved_with_nothing() -> None:
    assert judge(Measured(True, (), (), Differences(), None, None, 0)).verdict == "PROVED"


def test_a_judgement_names_the_classes_of_drift() -> None:
    lost = replace(cell("missing"), served="")
    measured = replace(
        EQUAL,
        findings=("ledger gap in partition 0, offsets 1 to 2",),
        as_they_came=Differences(missing=1, cells=(lost,)),
        batches=(("lost_batch", "batch 7 has 5 events and none is served"),),
        counts={"ad_events": "event_count"},
    )
    judgement = judge(measured)
    assert judgement.drifts == ("ledger_gap", "lost_batch")
    assert judgement.differences.cells[0].drift == "lost_batch"
    assert "lost_batch: batch 7 has 5 events and none is served" in judgement.reason
    assert judge(EQUAL).drifts == ()
