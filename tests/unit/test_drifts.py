"""What kind of damage a difference is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.reconcile.drifts import BatchEvidence, all_drifts, batch_drifts, classified
from include.reconcile.inject.kinds import KINDS
from include.reconcile.inject.registry import INJECTORS
from include.reconcile.types import Difference, Differences

AT = datetime(2026, 1, 1, 5, tzinfo=UTC)
COUNTS = {"ads": "n"}


def cell(expected: str, served: str, minute: int = 0, dimensions: str = "country=US") -> Difference:
    return Difference("ads", AT + timedelta(minutes=minute), dimensions, "mismatched", expected, served)


def drifts(*cells: Difference, batches: tuple[tuple[str, str], ...] = ()) -> list[str]:
    return [
        c.drift for c in classified(Differences(mismatched=len(cells), cells=cells), COUNTS, batches).cells
    ]


@pytest.mark.parametrize(
    ("expected", "served", "drift"),
    [
        ("n=2 money=10", "", "lost_row"),
        ("n=2 money=10", "n=1 money=5", "lost_row"),
        ("n=2 money=10", "n=4 money=20", "doubled_row"),
        ("", "n=1 money=5", "doubled_row"),
        ("n=2 money=10", "n=2 money=11", "altered_figure"),
        ("n=2 actions=a,b", "n=2 actions=b,a", "altered_figure"),
    ],
)
def test_a_cell_is_told_by_what_it_gained(expected: str, served: str, drift: str) -> None:
    assert drifts(cell(expected, served)) == [drift]


def test_what_one_window_lost_and_another_gained_was_in_the_wrong_window() -> None:
    moved = (cell("n=1 money=5", ""), cell("n=2 money=9", "n=3 money=14", minute=7))
    assert drifts(*moved) == ["wrong_window", "wrong_window"]
    other = cell("", "n=1 money=5", minute=7, dimensions="country=KR")
    assert drifts(moved[0], other) == ["lost_row", "doubled_row"], "another country is another cell"


def test_a_moved_row_is_told_by_what_adds_up_since_minima_of_both_windows_stay_their_own() -> None:
    moved = (
        cell("n=3 money=9 least=1", "n=2 money=5 least=2"),
        cell("n=1 money=8 least=8", "n=2 money=12 least=4", minute=7),
    )
    differences = Differences(mismatched=2, cells=moved)
    assert drifts(*moved) == ["lost_row", "doubled_row"], "with minima nothing seems to have moved"
    found = classified(differences, COUNTS, (), {"ads": {"least"}})
    assert [c.drift for c in found.cells] == ["wrong_window", "wrong_window"]
    altered = cell("n=3 money=9 least=1", "n=3 money=9 least=0")
    found = classified(Differences(mismatched=1, cells=(altered,)), COUNTS, (), {"ads": {"least"}})
    assert [c.drift for c in found.cells] == ["altered_figure"]


def test_a_batch_without_deltas_is_lost_and_one_that_no_row_lists_or_that_is_there_twice_is_doubled() -> None:
    found = batch_drifts(
        [
            BatchEvidence(11, 600, 0),
            BatchEvidence(12, 40, 40),
            BatchEvidence(10, None, 40),
            BatchEvidence(13, 0, 0),
            BatchEvidence(14, 30, 60),
        ]
    )
    assert [kind for kind, _ in found] == ["lost_batch", "doubled_batch", "doubled_batch"]
    assert batch_drifts([BatchEvidence(12, 40, 40), BatchEvidence(10, None, 3)]) == [], "single rows"
    assert drifts(cell("n=1", ""), batches=tuple(found)) == ["lost_batch"]
    assert drifts(cell("n=1", "n=2"), batches=tuple(found)) == ["doubled_batch"]


def test_all_classes_of_an_hour_are_named_once() -> None:
    cells = classified(Differences(missing=1, cells=(cell("n=1", ""),)), COUNTS, ())
    findings = ("ledger gap in partition 0, offsets 1 to 2", "mislabel in partition 1")
    assert all_drifts(findings, (), cells) == ("ledger_gap", "lost_row", "mislabel")


def test_the_form_names_exactly_the_injectors() -> None:
    assert set(KINDS) == set(INJECTORS)
