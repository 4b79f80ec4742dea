"""What a run's log shows: the table of hours, and what differed by window and dimensions."""

from __future__ import annotations

from datetime import UTC, datetime

from include.reconcile.report import MOST_CELLS_SHOWN, HourLine, differing, table
from include.reconcile.types import MISSING, Difference, Differences, HourPlan, Judgement

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
PLAN = HourPlan("run", "ad_events", HOUR, 11, 1, 1 << 40, None, contract_version=1, repair="auto")


def line_with(cells: int) -> HourLine:
    lost = Difference("ad_events", HOUR, "country=US", MISSING, "event_count=3 revenue=0", "", "lost_row")
    found = Differences(missing=cells, cells=(lost,) * cells)
    return HourLine.of(PLAN, None, Judgement("REPAIRED", "served figures differ", found))


def test_a_repair_names_window_dimensions_and_both_figures() -> None:
    assert differing([line_with(1)]) == [
        "ad_events 2026-01-01 05:00 country=US: missing (lost_row), expected event_count=3 revenue=0, served nothing"
    ]


def test_a_log_shows_the_first_differences_and_counts_them_all() -> None:
    line = line_with(50)
    assert len(differing([line])) == MOST_CELLS_SHOWN
    assert table([line]).splitlines()[1].split()[4:6] == ["REPAIRED", "50"]


def test_no_hour_is_explained() -> None:
    assert table([]).startswith("No hour to judge")
