"""The report of the demo: one line a stream, and a fault for whatever is not as it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.demo.report import Drift, LatencySeconds, Report
from include.demo.streams import HourLine, StreamBalance, StreamReport
from include.demo.truth import Comparison

BALANCE = StreamBalance(1000, 1000, 990, 10, 5, 2, 0, 0)
WELL = StreamReport(
    balance=BALANCE,
    batches=7,
    rejected_by={"malformed": 8, "schema": 2},
    hours=[HourLine("logs", "2026-01-01T05:00:00Z", "PROVED", 900, 60)],
    truth=Comparison(4321, 0, ()),
)
DRIFT = Drift("lost_row", True, "REPAIRED", True, "3 rows removed", "3 missing")


def report(logs: StreamReport = WELL, drift: Drift = DRIFT) -> Report:
    return Report({"ad_events": WELL, "logs": logs}, drift, LatencySeconds(1.0, 2.0), 30.0, 300.0)


def test_each_stream_has_its_lines() -> None:
    text = report().as_text()
    assert text.count("malformed 8, schema 2") == 2
    assert text.count("4,321") == 2
    found = report().as_json()
    assert found["streams"]["logs"]["rejected_by"] == {"malformed": 8, "schema": 2}
    assert (found["streams"]["logs"]["hours_proved"], found["truth"]["compared"]) == (1, 8642)


@pytest.mark.parametrize(
    ("logs", "drift", "fault"),
    [
        (replace(WELL, balance=replace(BALANCE, unexplained=1)), DRIFT, "logs: 1 offsets unexplained"),
        (replace(WELL, hours=[]), DRIFT, "logs: no hour was proved"),
        (replace(WELL, truth=Comparison(0, 0, ())), DRIFT, "logs: 0 of 0 cells differ"),
        (replace(WELL, truth=Comparison(9, 1, ("a cell",))), DRIFT, "logs: 1 of 9 cells differ"),
        (
            replace(WELL, hours=[*WELL.hours, HourLine("logs", "2026-01-01T06:00:00Z", "DRIFTED", 1, 1)]),
            DRIFT,
            "logs 2026-01-01T06:00:00Z is DRIFTED",
        ),
        (WELL, replace(DRIFT, proved_again=False), "the damage was not caught"),
    ],
)
def test_what_is_not_as_it_must_be_is_a_fault(logs: StreamReport, drift: Drift, fault: str) -> None:
    assert report().faults() == []
    assert any(line.startswith(fault) for line in report(logs, drift).faults()), report(logs, drift).faults()
