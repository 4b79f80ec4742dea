"""Suite files: their parameters come from the contracts; wrong files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.contracts import load_contract, stream_names
from include.quality.parameters import expectation_parameters
from include.quality.suites import (
    SUITES_DIR,
    SuiteError,
    for_contract,
    load_suites,
    parameters_used,
    read_suite_file,
)
from tests.quality_frames import HOUR


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
        "type": "expect_column_values_to_be_in_set",
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
