"""Suite files: every expectation passes on a good frame and is seen to fail on a bad one; wrong files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.contracts import load_contract, stream_names
from include.quality.parameters import expectation_parameters
from include.quality.report import CheckResult
from include.quality.suites import (
    SUITES_DIR,
    SuiteError,
    for_contract,
    load_suites,
    parameters_used,
    read_suite_file,
)
from include.quality.validate import SuiteRunner

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
Checker = Callable[[str, pd.DataFrame], list[CheckResult]]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    contract = load_contract("ad_events")
    suites = {loaded.file.name: loaded for loaded in load_suites(contract)}
    runner = SuiteRunner(tmp_path_factory.mktemp("docs"), "ad_events")
    parameters = expectation_parameters(contract, HOUR)
    return lambda suite, frame: runner.check(suites[suite], frame, HOUR, parameters)


def served(**changes: Any) -> pd.DataFrame:
    start = pd.Timestamp(HOUR.replace(tzinfo=None))
    base = {
        "window_start": start,
        "window_end": start + timedelta(minutes=1),
        "event_type": "impression",
        "country": "US",
        "ad_format": "banner",
        "event_count": 70,
        "avg_revenue": 0.0,
        "total_revenue": 0.0,
        "status": "sealed",
        "window_seconds": 60,
        "revenue_per_event": 0.0,
        "impression_revenue": 0.0,
        "click_through_rate": 3 / 70,
    }
    click = base | {
        "event_type": "click",
        "event_count": 3,
        "total_revenue": 0.12,
        "avg_revenue": 0.04,
        "revenue_per_event": 0.04,
    }
    return pd.DataFrame([base, click | changes]).astype({"event_count": "Int64", "window_seconds": "Int64"})


def ledger(row: int = 1, **changes: Any) -> pd.DataFrame:
    first = {
        "record": "ledger",
        "partition": 0,
        "start_offset": 0,
        "end_offset": 10,
        "lost_to": 0,
        "offsets": 10,
        "accounted": 10,
        "rejected_share": 0.0,
        "offset_gap": 0,
        "non_records": 0,
        "ledger_non_records": None,
    }
    second = first | {"start_offset": 10, "end_offset": 20, "lost_to": 10}
    nothing = {"start_offset": None, "end_offset": None, "lost_to": None, "offset_gap": None}
    balance = first | nothing | {"record": "balance", "ledger_non_records": 0, "offsets": 20, "accounted": 20}
    rows = [first, second, balance]
    rows[row] = rows[row] | changes
    frame = pd.DataFrame(rows, dtype=object)
    whole = [name for name in frame.columns if name not in ("record", "rejected_share")]
    return frame.astype(dict.fromkeys(whole, "Int64") | {"rejected_share": "float64"})


def failed(results: list[CheckResult]) -> dict[tuple[str, str], str]:
    return {(r.expectation, r.column): r.severity for r in results if not r.success}


MEMBER, WITHIN, THERE = (
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
    "expect_column_values_to_not_be_null",
)
LATER = pd.Timestamp(HOUR.replace(tzinfo=None)) + timedelta(hours=1)
SAME = {"event_type": "impression", "avg_revenue": 0.0, "total_revenue": 0.0, "revenue_per_event": 0.0}
KEY = "window_start, event_type, country, ad_format"

BAD_SERVED: list[tuple[str, str, str, pd.DataFrame]] = [
    ("expect_table_columns_to_match_set", "", "critical", served().drop(columns="status")),
    ("expect_table_row_count_to_be_between", "", "warning", served().iloc[:0]),
    (THERE, "window_start", "critical", served(window_start=pd.NaT)),
    (THERE, "event_count", "critical", served(event_count=None)),
    (THERE, "total_revenue", "critical", served(total_revenue=None)),
    (WITHIN, "window_start", "critical", served(window_start=LATER)),
    (WITHIN, "window_seconds", "critical", served(window_seconds=61)),
    (MEMBER, "event_type", "critical", served(event_type="view")),
    (MEMBER, "country", "critical", served(country="XX")),
    (MEMBER, "ad_format", "critical", served(ad_format="popup")),
    (WITHIN, "event_count", "critical", served(event_count=0)),
    (WITHIN, "avg_revenue", "critical", served(avg_revenue=1000.01)),
    (WITHIN, "revenue_per_event", "critical", served(revenue_per_event=-0.01)),
    (WITHIN, "impression_revenue", "critical", served(impression_revenue=0.01)),
    ("expect_compound_columns_to_be_unique", KEY, "critical", served(**SAME)),
    (MEMBER, "status", "critical", served(status="open")),
    ("expect_column_max_to_be_between", "click_through_rate", "warning", served(click_through_rate=0.9)),
]
PAIR = "expect_column_pair_values_to_be_equal"
BAD_LEDGER: list[tuple[str, str, str, pd.DataFrame]] = [
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        "end_offset, start_offset",
        "critical",
        ledger(end_offset=9),
    ),
    (PAIR, "lost_to, start_offset", "critical", ledger(lost_to=12)),
    (PAIR, "accounted, offsets", "critical", ledger(accounted=9)),
    (PAIR, "accounted, offsets", "critical", ledger(row=2, accounted=21)),
    (WITHIN, "offset_gap", "critical", ledger(offset_gap=3)),
    (WITHIN, "offset_gap", "critical", ledger(offset_gap=-3)),
    (PAIR, "ledger_non_records, non_records", "critical", ledger(row=2, ledger_non_records=1)),
    ("expect_column_distinct_values_to_contain_set", "record", "warning", ledger().iloc[:2]),
    (WITHIN, "rejected_share", "warning", ledger(rejected_share=0.051)),
]


@pytest.mark.parametrize(("suite", "frame"), [("ad_events_served", served()), ("ledger_balance", ledger())])
def test_a_good_frame_passes(check: Checker, suite: str, frame: pd.DataFrame) -> None:
    assert failed(check(suite, frame)) == {}


@pytest.mark.parametrize(("expectation", "column", "severity", "frame"), BAD_SERVED)
def test_each_expectation_on_the_served_hour_fails_once(
    check: Checker, expectation: str, column: str, severity: str, frame: pd.DataFrame
) -> None:
    assert failed(check("ad_events_served", frame)).get((expectation, column)) == severity


@pytest.mark.parametrize(("expectation", "column", "severity", "frame"), BAD_LEDGER)
def test_each_expectation_on_ledger_and_balance_fails_once(
    check: Checker, expectation: str, column: str, severity: str, frame: pd.DataFrame
) -> None:
    assert failed(check("ledger_balance", frame)).get((expectation, column)) == severity


@pytest.mark.parametrize(
    ("suite", "seen"),
    [("ad_events_served", BAD_SERVED), ("ledger_balance", BAD_LEDGER)],
    ids=lambda v: str(v)[:16],
)
def test_no_expectation_is_left_without_a_failing_case(
    check: Checker, suite: str, seen: list[tuple[str, str, str, pd.DataFrame]]
) -> None:
    frame = served() if suite == "ad_events_served" else ledger()
    assert {(r.expectation, r.column) for r in check(suite, frame)} == {(e, c) for e, c, _, _ in seen}


def test_the_message_names_hour_rows_and_limits(check: Checker) -> None:
    (result,) = [r for r in check("ad_events_served", served(country="XX")) if not r.success]
    text = str(result)
    for part in ("2026-01-01T05Z", "in_set on country", "1 of 2 rows", '"XX"', '"US"', ".html"):
        assert part in text, f"{part!r} is not in: {text}"


def test_an_expectation_that_cannot_run_counts_as_failed_and_says_why(check: Checker) -> None:
    found = [r for r in check("ad_events_served", served().drop(columns="country")) if r.column == "country"]
    assert [r.success for r in found] == [False]
    assert "country" in found[0].observed
    assert found[0].observed.startswith("no result")


def test_every_parameter_of_the_suites_comes_from_the_contract() -> None:
    for path in SUITES_DIR.glob("*.json"):
        suite = read_suite_file(path)
        for stream in suite.meta.streams or stream_names():
            contract = load_contract(stream)
            given = expectation_parameters(contract, HOUR).keys()
            assert parameters_used(for_contract(suite, contract)) <= given, f"{suite.name} on {stream}"


def test_limits_follow_the_contract() -> None:
    given = expectation_parameters(load_contract("ad_events"), HOUR)
    assert (given["revenue_minimum"], given["revenue_maximum"], given["pane_seconds"]) == (0, 1000, 60)
    assert given["rows_maximum"] == 60 * 2 * 7 * 3


def suite_text(**changes: Any) -> str:
    content = json.loads((SUITES_DIR / "ad_events_served.json").read_text())
    return json.dumps(content | {"name": "mine"} | changes)


def entry(**changes: Any) -> dict[str, Any]:
    right = {
        "type": MEMBER,
        "kwargs": {"column": "a", "value_set": [1]},
        "severity": "critical",
        "description": "a",
    }
    return {key: value for key, value in (right | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSON"),
        (suite_text(name="other"), "'other'"),
        (suite_text(extra=1), "extra"),
        (suite_text(expectations=[]), "expectations"),
        (suite_text(expectations=[entry(severity="info")]), "expectations.0.severity"),
        (suite_text(expectations=[entry(severity=None)]), "expectations.0.severity"),
        (suite_text(expectations=[entry(type="expect_wonders")]), "expectation 1 (expect_wonders)"),
        (suite_text(expectations=[entry(), entry(kwargs={"value_set": [1]})]), "expectation 2"),
        (suite_text(expectations=[entry(kwargs={"column": "a", "value_set": [1], "colour": 2})]), "colour"),
        (suite_text(meta={"purpose": "p", "query": "../x.sql", "row_key": ["a"]}), "meta.query"),
        (suite_text(meta={"purpose": "p", "row_key": ["a"]}), "a query or a source"),
        (suite_text(meta={"purpose": "p", "source": "wire", "row_key": ["a"]}), "meta.source"),
        (suite_text(expectations=[entry(for_each="wonders")]), "expectations.0.for_each"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(SuiteError) as refused:
        load_suites(load_contract("ad_events"), tmp_path)
    assert "expectations/mine.json" in str(refused.value)
    assert reason in str(refused.value)


def test_a_suite_for_other_streams_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(suite_text())
    with pytest.raises(FileNotFoundError, match="logs"):
        load_suites(load_contract("logs"), tmp_path)
