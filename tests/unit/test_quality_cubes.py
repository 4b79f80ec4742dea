"""Which cubes and views the suites look at: none is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from include.contracts import load_contract, load_contracts, stream_names
from include.quality.data import quality_sql
from include.quality.served import counted_cubes
from include.quality.suites import SUITES_DIR, SuiteFile, read_suite_file
from include.warehouse.sql import SQL_DIR
from include.warehouse.views import view_names, view_sql


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
