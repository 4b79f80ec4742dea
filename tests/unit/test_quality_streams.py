"""The suites of user events and logs: every expectation passes on a good frame and is seen to fail on a bad one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from include.contracts import load_contract, stream_names
from include.quality.parameters import expectation_parameters
from include.quality.report import CheckResult
from include.quality.suites import SUITES_DIR, load_suites, parameters_used, read_suite_file
from include.quality.validate import SuiteRunner

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
START = pd.Timestamp(HOUR.replace(tzinfo=None))
MEMBER, WITHIN, THERE, ABOVE = (
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
    "expect_column_values_to_not_be_null",
    "expect_column_pair_values_a_to_be_greater_than_b",
)
COLUMNS, ROWS, UNIQUE = (
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_compound_columns_to_be_unique",
)
Case = tuple[str, str, str, pd.DataFrame]
Checker = Callable[[str, pd.DataFrame], list[CheckResult]]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    runs: dict[str, Any] = {}
    for stream in ("user_events", "logs"):
        runner = SuiteRunner(tmp_path_factory.mktemp(stream), stream)
        parameters = expectation_parameters(load_contract(stream), HOUR)
        for loaded in load_suites(load_contract(stream)):
            runs[f"{loaded.file.name} of {stream}"] = runner, loaded, parameters

    def run(suite: str, frame: pd.DataFrame) -> list[CheckResult]:
        runner, loaded, parameters = runs[f"{suite} of {suite.removesuffix('_served')}"]
        found: list[CheckResult] = runner.check(loaded, frame, HOUR, parameters)
        return found

    return run


def minutes(**changes: Any) -> pd.DataFrame:
    """Two services of one minute; the changes are to the second."""
    first = {
        "window_start": START,
        "window_end": START + timedelta(minutes=1),
        "service": "checkout",
        "request_count": 10,
        "avg_response_time": 0.5,
        "max_response_time": 1.5,
        "min_response_time": 0.1,
        "stddev_response_time": 0.2,
        "total_requests": 10,
        "error_count": 1,
        "error_rate": 10.0,
        "availability_percent": 90.0,
        "performance_percent": 80.0,
        "fast_requests": 8,
        "successful_requests": 9,
        "status": "sealed",
        "window_seconds": 60,
        "answered": 10,
    }
    untimed = {"avg_response_time": None, "max_response_time": None, "min_response_time": None}
    quiet = first | untimed | {"service": "quiet", "stddev_response_time": None, "performance_percent": None}
    return _typed(pd.DataFrame([quiet, first | changes]))


def windows(**changes: Any) -> pd.DataFrame:
    """A window of an action and, with the changes, one of a user."""
    action = {
        "view": "action_metrics",
        "subject": "view",
        "window_start": START,
        "window_end": START + timedelta(minutes=2),
        "window_excess": 0,
        "action": "view",
        "event_count": 7,
        "unique_users": 3,
        "avg_value": 5.0,
        "max_value": 9.0,
        "min_value": 1.0,
        "value_per_event": 5.0,
        "status": "sealed",
    }
    user = action | {"view": "user_totals", "subject": "user_001"}
    return _typed(pd.DataFrame([action, user | changes]))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    whole = [
        n
        for n in frame.columns
        if n.endswith(("_count", "_requests", "_users", "_seconds", "_excess", "answered"))
    ]
    parts = [n for n in frame.columns if n.endswith(("_time", "_rate", "_percent", "_value", "_event"))]
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(parts, "float64"))


LATER = START + timedelta(hours=1)
BAD: dict[str, list[Case]] = {
    "logs_served": [
        (COLUMNS, "", "critical", minutes().drop(columns="error_rate")),
        (ROWS, "", "warning", minutes().iloc[:0]),
        (THERE, "window_start", "critical", minutes(window_start=pd.NaT)),
        (THERE, "service", "critical", minutes(service=None)),
        (THERE, "request_count", "critical", minutes(request_count=None)),
        (WITHIN, "window_start", "critical", minutes(window_start=LATER)),
        (WITHIN, "window_seconds", "critical", minutes(window_seconds=61)),
        (WITHIN, "request_count", "critical", minutes(request_count=0)),
        (
            "expect_column_pair_values_to_be_equal",
            "request_count, total_requests",
            "critical",
            minutes(total_requests=9),
        ),
        (WITHIN, "min_response_time", "critical", minutes(min_response_time=-0.1)),
        (WITHIN, "max_response_time", "critical", minutes(max_response_time=3600.1)),
        (ABOVE, "max_response_time, avg_response_time", "critical", minutes(max_response_time=0.4)),
        (ABOVE, "avg_response_time, min_response_time", "critical", minutes(min_response_time=0.6)),
        (WITHIN, "stddev_response_time", "critical", minutes(stddev_response_time=-1.0)),
        (WITHIN, "error_rate", "critical", minutes(error_rate=101.0)),
        (WITHIN, "availability_percent", "critical", minutes(availability_percent=101.0)),
        (WITHIN, "performance_percent", "critical", minutes(performance_percent=-1.0)),
        (ABOVE, "request_count, answered", "critical", minutes(answered=11)),
        (ABOVE, "request_count, fast_requests", "critical", minutes(fast_requests=11)),
        (UNIQUE, "window_start, service", "critical", minutes(service="quiet")),
        (MEMBER, "status", "critical", minutes(status="open")),
        ("expect_column_mean_to_be_between", "error_rate", "warning", minutes(error_rate=90.0)),
    ],
    "user_events_served": [
        (COLUMNS, "", "critical", windows().drop(columns="max_value")),
        (ROWS, "", "warning", windows().iloc[:0]),
        (THERE, "window_start", "critical", windows(window_start=pd.NaT)),
        (THERE, "subject", "critical", windows(subject=None)),
        (THERE, "event_count", "critical", windows(event_count=None)),
        (THERE, "avg_value", "critical", windows(avg_value=None)),
        (WITHIN, "window_start", "critical", windows(window_start=LATER)),
        (WITHIN, "window_excess", "critical", windows(window_excess=-60)),
        (MEMBER, "action", "critical", windows(action="steal")),
        ("expect_column_distinct_values_to_contain_set", "view", "warning", windows().iloc[:1]),
        (WITHIN, "event_count", "critical", windows(event_count=0)),
        (WITHIN, "avg_value", "critical", windows(avg_value=1_000_000.1)),
        (WITHIN, "value_per_event", "critical", windows(value_per_event=-0.1)),
        (WITHIN, "max_value", "critical", windows(max_value=1_000_000.1)),
        (WITHIN, "min_value", "critical", windows(min_value=-0.1)),
        (ABOVE, "max_value, avg_value", "critical", windows(max_value=4.0)),
        (ABOVE, "avg_value, min_value", "critical", windows(min_value=6.0)),
        (ABOVE, "event_count, unique_users", "critical", windows(unique_users=8)),
        (UNIQUE, "view, window_start, subject", "critical", windows(view="action_metrics", subject="view")),
        (MEMBER, "status", "critical", windows(status="open")),
        ("expect_column_max_to_be_between", "event_count", "warning", windows(event_count=1_000_001)),
    ],
}
GOOD = {"logs_served": minutes(), "user_events_served": windows()}


def failed(results: list[CheckResult]) -> dict[tuple[str, str], str]:
    return {(r.expectation, r.column): r.severity for r in results if not r.success}


@pytest.mark.parametrize("suite", list(GOOD))
def test_a_good_frame_passes(check: Checker, suite: str) -> None:
    assert failed(check(suite, GOOD[suite])) == {}


@pytest.mark.parametrize("suite", list(GOOD))
def test_each_expectation_fails_once_with_its_severity(check: Checker, suite: str) -> None:
    for expectation, column, severity, frame in BAD[suite]:
        found = failed(check(suite, frame))
        assert found.get((expectation, column)) == severity, f"{expectation} on {column}: {found}"


@pytest.mark.parametrize("suite", list(GOOD))
def test_no_expectation_is_left_without_a_failing_case(check: Checker, suite: str) -> None:
    assert {(r.expectation, r.column) for r in check(suite, GOOD[suite])} == {
        (e, c) for e, c, *_ in BAD[suite]
    }


def test_every_stream_has_a_suite_of_what_it_serves_whose_limits_are_the_contracts() -> None:
    for stream in stream_names():
        content = read_suite_file(SUITES_DIR / f"{stream}_served.json")
        assert content.meta.streams == (stream,)
        assert parameters_used(content) <= expectation_parameters(load_contract(stream), HOUR).keys()
