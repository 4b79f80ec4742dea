"""What a run's log shows: the table of hours, and what differed by window and dimensions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from include.reconcile.report import MOST_CELLS_SHOWN, HourLine, differing, evidence, remarks, table
from include.reconcile.types import (
    MISMATCHED,
    MISSING,
    Difference,
    Differences,
    HourPlan,
    Judgement,
    PartitionBalance,
    Recounted,
)

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
PLAN = HourPlan("run", "ad_events", HOUR, 11, 1, 1 << 40, None, contract_version=1, repair="auto")


def line_with(cells: int) -> HourLine:
    lost = Difference("ad_events", HOUR, "country=US", MISSING, "event_count=3 revenue=0", "", "lost_row")
    found = Differences(missing=cells, cells=(lost,) * cells)
    return HourLine.of(PLAN, None, Judgement("REPAIRED", "served figures differ", found))


def test_a_repair_names_window_dimensions_and_both_figures() -> None:
    assert differing([line_with(1)]) == [
        "ad_events 2026-01-01 05:00 country=US: missing (lost_row)",
        "  expected event_count=3 revenue=0, served nothing",
    ]


def test_a_log_shows_the_first_differences_and_counts_them_all() -> None:
    line = line_with(50)
    *cells, rest = differing([line])
    assert len(cells) == 2 * MOST_CELLS_SHOWN
    assert rest == "  40 more: see the table differences"
    assert table([line]).splitlines()[1].split()[2:6] == ["DRIFTED", "->", "REPAIRED", "50"]


def test_of_an_altered_cell_only_the_altered_figures_are_shown() -> None:
    cell = Difference("log_services", HOUR, "service=media", MISMATCHED, "count=3 sum=7", "count=3 sum=8", "")
    line = HourLine.of(PLAN, None, Judgement("DRIFTED", "", Differences(mismatched=1, cells=(cell,))))
    assert differing([line])[1] == "  expected sum=7, served sum=8"


def test_a_verified_hour_is_told_where_its_certificate_is() -> None:
    proved = replace(line_with(0), verdict="PROVED")
    assert evidence([proved], "20260101T050300-abc", Path("artifacts/certificates")) == [
        "certificates: artifacts/certificates/<stream>/<hour>.json, and the table certificates",
        "evidence: run 20260101T050300-abc of the table verdicts; differences and balances by stream and hour",
    ]
    drifted = replace(proved, verdict="DRIFTED")
    assert [told[:9] for told in evidence([drifted], "run", Path("certificates"))] == ["evidence:"]


def test_what_is_remarkable_of_an_hour_is_told_without_what_is_zero() -> None:
    balance = PartitionBalance(0, ((0, 9),), 9, 9, 0, {}, 0, 0, 2, 0)
    recounted = Recounted(
        *(1, 1, 9, 9, "", (balance, replace(balance, partition=1, late=1))),
        events_without_identity=0,
        id_reused=1_200,
    )
    lines = [HourLine.of(PLAN, recounted, Judgement("PROVED", "equal at once")), line_with(0)]
    assert remarks(lines) == ["ad_events 2026-01-01T05: late 3, id_reused 1,200"]
    full = replace(
        recounted,
        balances=(replace(balance, late=0, duplicates=4),),
        events_without_identity=5,
        id_reused=None,
    )
    (line,) = remarks([HourLine.of(PLAN, full, Judgement("PROVED", "equal at once"))])
    assert line.endswith(": duplicates 4, without identity 5")


def test_no_hour_is_explained() -> None:
    assert table([]).startswith("No hour to judge")
