"""The suites that look at every cube: none is left out, and every expectation is seen to fail on a bad frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.contracts import load_contract, load_contracts, stream_names
from include.quality.data import quality_sql
from include.quality.parameters import expectation_parameters
from include.quality.report import CheckResult
from include.quality.served import counted_cubes
from include.quality.suites import SUITES_DIR, SuiteFile, load_suites, read_suite_file
from include.quality.validate import SuiteRunner
from include.warehouse.sql import SQL_DIR
from include.warehouse.views import view_names, view_sql

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
START = pd.Timestamp(HOUR.replace(tzinfo=None))
LATER = START + timedelta(hours=1)
MEMBER, WITHIN, THERE, ABOVE, UNIQUE, ROWS, VIEWS = (
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
    "expect_column_values_to_not_be_null",
    "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_compound_columns_to_be_unique",
    "expect_table_row_count_to_be_between",
    "expect_column_distinct_values_to_contain_set",
)
STREAM_OF = {
    "cubes": "user_events",
    "arrival_served": "ad_events",
    "log_access_served": "logs",
    "user_actions_served": "user_events",
}
Case = tuple[str, str, str, pd.DataFrame]
Checker = Callable[[str, pd.DataFrame], list[CheckResult]]


def critical_suites(stream: str) -> Iterator[SuiteFile]:
    """Yield the suites of a stream that have a query and something to fail a run by."""
    for path in sorted(SUITES_DIR.glob("*.json")):
        suite = read_suite_file(path)
        of_stream = suite.meta.streams is None or stream in suite.meta.streams
        if of_stream and suite.meta.query and any(e.severity == "critical" for e in suite.expectations):
            yield suite


def read_by(suite: SuiteFile, stream: str) -> str:
    """Return a suite's query on a stream, with what the views that it names read."""
    contract = load_contract(stream)
    assert suite.meta.query is not None
    text = quality_sql(suite.meta.query, contract, counted_cubes(contract))
    named = [view for view in view_names() if re.search(rf"FROM {view}\b", text)]
    return "\n".join([text, *(view_sql(view, load_contracts()) for view in named)])


@pytest.mark.parametrize("stream", stream_names())
def test_every_cube_of_every_contract_is_read_by_a_suite_that_can_fail_a_run(stream: str) -> None:
    text = "\n".join(read_by(suite, stream) for suite in critical_suites(stream))
    cubes = load_contract(stream).cubes
    unread = [
        cube.name
        for cube in cubes
        if not all(re.search(rf"\b{table}\b", text) for table in (cube.sealed_table, cube.delta_table))
    ]
    assert not unread, f"no critical expectation of {stream} reads {', '.join(unread)}"


@pytest.mark.parametrize("stream", stream_names())
def test_the_events_of_every_cube_are_counted(stream: str) -> None:
    """A cube without a count of its events would be left out of the comparison."""
    contract = load_contract(stream)
    assert counted_cubes(contract) == contract.cubes


def test_every_view_is_asked_about_by_a_suite() -> None:
    asked = "\n".join(path.read_text(encoding="utf-8") for path in (SQL_DIR / "quality").iterdir())
    unasked = [view for view in view_names() if not re.search(rf"\b{view}\b", asked)]
    assert unasked == ["busy_users", "system_health"], (
        "of these two every figure is one of user_totals, or of error_rates and log_user_activity"
    )


def test_a_cube_that_a_certificate_does_not_know_yet_is_not_counted() -> None:
    contract = load_contract("ad_events")
    assert [cube.name for cube in counted_cubes(contract, frozenset({"ad_arrival"}))] == ["ad_events"]
    unsealed = frozenset({"ad_arrival.event_count"})
    assert [cube.name for cube in counted_cubes(contract, unsealed)] == ["ad_events"]
    unsealed = frozenset({"ad_arrival.delay_max_us"})
    assert counted_cubes(contract, unsealed) == contract.cubes


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    folder: Path = tmp_path_factory.mktemp("docs")
    runs: dict[str, Any] = {}
    for name, stream in STREAM_OF.items():
        contract = load_contract(stream)
        (loaded,) = [found for found in load_suites(contract) if found.file.name == name]
        runs[name] = SuiteRunner(folder / name, stream), loaded, expectation_parameters(contract, HOUR)

    def run(suite: str, frame: pd.DataFrame) -> list[CheckResult]:
        runner, loaded, parameters = runs[suite]
        found: list[CheckResult] = runner.check(loaded, frame, HOUR, parameters)
        return found

    return run


def _frame(first: dict[str, Any], second: dict[str, Any], floats: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame([first, second], dtype=object)
    texts = ("cube", "view", "status", "window_start", "window_end")
    kinds = {name: "float64" if name in floats else "Int64" for name in frame.columns if name not in texts}
    times = {name: "datetime64[ns]" for name in frame.columns if name.startswith("window_") and name in texts}
    return frame.astype(kinds | times)


def cubes(**changes: Any) -> pd.DataFrame:
    """A cube of all events, and one of late events with the changes."""
    every = {"cube": "user_minutes", "events": 100, "events_least": 100, "events_most": 100}
    late = {"cube": "user_late", "events": 7, "events_least": 6, "events_most": 8}
    return _frame(every, late | changes, ())


def delays(**changes: Any) -> pd.DataFrame:
    """Two windows of arrival, the changes in the second; in the first all came before their event time."""
    second = {
        "window_start": START + timedelta(minutes=5),
        "window_end": START + timedelta(minutes=10),
        "record_count": 9,
        "p50": 0.2,
        "p95": 1.5,
        "p99": 29.92,
        "longest": 30.079,
        "longest_or_0": 30.079,
        "recommended_lateness": 60,
        "status": "sealed",
        "window_excess": 0,
    }
    early = dict.fromkeys(("p50", "p95", "p99", "longest_or_0", "recommended_lateness"), 0)
    first = (
        second | early | {"window_start": START, "window_end": START + timedelta(minutes=5), "longest": -0.5}
    )
    return _frame(first, second | changes, ("p50", "p95", "p99", "longest", "longest_or_0"))


def accesses(**changes: Any) -> pd.DataFrame:
    """A window of addresses and, with the changes, one of users, and one of services."""
    none = dict.fromkeys(
        ("odd_windows", "without_key", "repeated", "without_status", "too_many_users", "odd_services"), 0
    )
    users = none | {"view": "log_user_activity", "window_start": START, "row_count": 3, "least_requests": 1}
    users |= {"least_average": 0.1, "largest_average": 2.5}
    no_average = {"least_average": None, "largest_average": None}
    addresses, services = ({"view": view} | no_average for view in ("ip_patterns", "service_popularity"))
    first = _frame(users | addresses, users | changes, ("least_average", "largest_average"))
    return pd.concat([first, first.iloc[:1].assign(**services)], ignore_index=True)


def actions(**changes: Any) -> pd.DataFrame:
    """A window of late events and, with the changes, one of actions."""
    none = ("odd_windows", "without_key", "repeated", "without_status", "odd_sequences", "odd_actions")
    both = dict.fromkeys(none, 0) | {"window_start": START, "row_count": 3, "least_events": 1}
    no_value, no_delay = (
        {"least_value": None, "largest_value": None},
        {"delay_at_least": None, "delay_at_most": None},
    )
    late = both | no_value | {"view": "late_events", "delay_at_least": 260, "delay_at_most": 320}
    acted = both | no_delay | {"view": "user_activity", "least_value": 0.0, "largest_value": 1e6}
    return _frame(late, acted | changes, ("least_value", "largest_value"))


def wrong(make: Callable[..., pd.DataFrame], *columns: str) -> list[Case]:
    """Return a case for each column of a number of wrong rows."""
    return [(WITHIN, name, "critical", make(**{name: 1})) for name in columns]


BAD: dict[str, list[Case]] = {
    "cubes": [
        (THERE, "cube", "critical", cubes(cube=None)),
        (THERE, "events", "critical", cubes(events=None)),
        (ABOVE, "events, events_least", "critical", cubes(events=5)),
        (ABOVE, "events_most, events", "critical", cubes(events=9)),
    ],
    "arrival_served": [
        (ROWS, "", "warning", delays().iloc[:0]),
        (THERE, "window_start", "critical", delays(window_start=pd.NaT)),
        (THERE, "record_count", "critical", delays(record_count=None)),
        (THERE, "p99", "critical", delays(p99=None)),
        (WITHIN, "window_start", "critical", delays(window_start=LATER)),
        *wrong(delays, "window_excess"),
        (WITHIN, "record_count", "critical", delays(record_count=0)),
        (WITHIN, "p50", "critical", delays(p50=-0.001)),
        (ABOVE, "p95, p50", "critical", delays(p50=1.6)),
        (ABOVE, "p99, p95", "critical", delays(p95=30.0)),
        (ABOVE, "longest_or_0, p99", "critical", delays(longest_or_0=29.9)),
        (WITHIN, "longest", "critical", delays(longest=-60.1)),
        (WITHIN, "longest", "critical", delays(longest=96 * 3600.1)),
        (ABOVE, "recommended_lateness, p99", "critical", delays(recommended_lateness=0)),
        (WITHIN, "recommended_lateness", "critical", delays(recommended_lateness=96 * 3600 + 30)),
        (
            UNIQUE,
            "window_start, window_end",
            "critical",
            delays(window_start=START, window_end=START + timedelta(minutes=5)),
        ),
        (MEMBER, "status", "critical", delays(status="open")),
    ],
    "log_access_served": [
        (ROWS, "", "warning", accesses().iloc[:0]),
        (VIEWS, "view", "warning", accesses().iloc[:2]),
        (THERE, "window_start", "critical", accesses(window_start=pd.NaT)),
        (WITHIN, "window_start", "critical", accesses(window_start=LATER)),
        *wrong(accesses, "odd_windows", "without_key", "repeated", "without_status", "too_many_users"),
        *wrong(accesses, "odd_services"),
        (WITHIN, "least_requests", "critical", accesses(least_requests=0)),
        (WITHIN, "least_average", "critical", accesses(least_average=-0.1)),
        (WITHIN, "largest_average", "critical", accesses(largest_average=3600.1)),
    ],
    "user_actions_served": [
        (ROWS, "", "warning", actions().iloc[:0]),
        (VIEWS, "view", "warning", actions().iloc[:1]),
        (THERE, "window_start", "critical", actions(window_start=pd.NaT)),
        (WITHIN, "window_start", "critical", actions(window_start=LATER)),
        *wrong(actions, "odd_windows", "without_key", "repeated", "without_status"),
        *wrong(actions, "odd_sequences", "odd_actions"),
        (WITHIN, "least_events", "critical", actions(least_events=0)),
        (WITHIN, "least_value", "critical", actions(least_value=-0.1)),
        (WITHIN, "largest_value", "critical", actions(largest_value=1e6 + 1)),
        (WITHIN, "delay_at_most", "critical", actions(delay_at_most=299)),
        (WITHIN, "delay_at_least", "critical", actions(delay_at_least=96 * 3600 + 1)),
    ],
}
GOOD = {
    "cubes": cubes(),
    "arrival_served": delays(),
    "log_access_served": accesses(),
    "user_actions_served": actions(),
}


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


def test_the_message_names_the_cube_and_both_figures(check: Checker) -> None:
    (result,) = [r for r in check("cubes", cubes(events=5)) if not r.success]
    for part in ("user_late", '"events": 5', '"events_least": 6'):
        assert part in str(result), f"{part!r} is not in: {result}"
