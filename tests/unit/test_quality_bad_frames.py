"""Every expectation of a suite passes on a good frame and is seen to fail on a bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.contracts import load_contract, stream_names
from include.quality.parameters import expectation_parameters
from include.quality.report import CheckResult
from include.quality.suites import SUITES_DIR, load_suites, parameters_used, read_suite_file
from include.quality.validate import SuiteRunner
from tests.quality_frames import BAD, GOOD, HOUR, STREAM_OF, cubes, served

Checker = Callable[[str, pd.DataFrame], list[CheckResult]]


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


def test_the_message_names_the_cube_and_both_figures(check: Checker) -> None:
    (result,) = [r for r in check("cubes", cubes(events=5)) if not r.success]
    for part in ("user_late", '"events": 5', '"events_least": 6'):
        assert part in str(result), f"{part!r} is not in: {result}"


def test_every_stream_has_a_suite_of_what_it_serves_whose_limits_are_the_contracts() -> None:
    for stream in stream_names():
        content = read_suite_file(SUITES_DIR / f"{stream}_served.json")
        assert content.meta.streams == (stream,)
        assert parameters_used(content) <= expectation_parameters(load_contract(stream), HOUR).keys()
