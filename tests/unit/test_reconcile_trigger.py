"""What a form, a schedule or a backfill asks of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from include.reconcile import trigger
from include.reconcile.form import FORM

DEFAULTS = {name: default for name, (default, _) in FORM.items()}


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """(start, end, repair, recount_anyway) of each plan that was asked for."""
    seen: list[tuple[Any, ...]] = []

    def make_plans(_: Any, __: Any, start: Any, end: Any, repair: str, recount_anyway: bool) -> Any:
        seen.append((start, end, repair, recount_anyway))
        return "run", []

    monkeypatch.setattr(trigger, "make_plans", make_plans)
    return seen


def hour(day: int, number: int) -> datetime:
    return datetime(2026, 1, day, number, tzinfo=UTC)


def plan(run_type: Any = DagRunType.MANUAL, **form: Any) -> dict[str, Any]:
    return trigger.plan_run({**DEFAULTS, **form}, run_type, datetime(2026, 1, 2, 6, 3, tzinfo=UTC))


def test_a_schedule_names_no_hour_and_repairs_as_set(planned: list[tuple[Any, ...]]) -> None:
    assert plan(DagRunType.SCHEDULED)["rest"] is None
    assert planned == [(None, None, "auto", False)]


@pytest.mark.parametrize("kind", [DagRunType.BACKFILL, "backfill"])
def test_a_backfill_takes_the_hour_before_its_date_if_it_changed(
    planned: list[tuple[Any, ...]], kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "include.reconcile.trigger")
    plan(kind)
    assert planned == [(hour(2, 5), hour(2, 5), "auto", False)]
    assert caplog.messages[0] == "this run of a backfill takes 2026-01-02T05:00:00Z, the hour before its date"


def test_one_named_hour_is_recounted_whatever_its_state(planned: list[tuple[Any, ...]]) -> None:
    plan(from_hour="2026-01-01T05:30:00Z", repair="never")
    plan(from_hour="2026-01-01T05:00:00Z", to_hour="2026-01-01T05:00:00Z", recount_anyway=False)
    assert planned == [(hour(1, 5), hour(1, 5), "never", True), (hour(1, 5), hour(1, 5), "auto", False)]


def test_a_long_range_leaves_its_rest_to_the_next_run(planned: list[tuple[Any, ...]]) -> None:
    form: dict[str, Any] | None = {"from_hour": "2026-01-01T00:00:00Z", "to_hour": "2026-01-03T01:00:00Z"}
    while form is not None:
        form = plan(**form)["rest"]
    assert planned == [
        (hour(1, 0), hour(1, 23), "auto", False),
        (hour(2, 0), hour(2, 23), "auto", False),
        (hour(3, 0), hour(3, 1), "auto", False),
    ]


@pytest.mark.usefixtures("planned")
def test_a_part_of_a_range_says_what_it_takes_and_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "include.reconcile.trigger")
    plan(from_hour="2026-01-01T00:00:00Z", to_hour="2026-01-03T01:00:00Z")
    assert caplog.messages[0] == (
        "this run takes 2026-01-01T00:00:00Z to 2026-01-01T23:00:00Z; a further one goes on with the rest, "
        "from 2026-01-02T00:00:00Z to 2026-01-03T01:00:00Z"
    )


def test_a_range_that_ends_in_one_hour_keeps_what_was_said_of_it(planned: list[tuple[Any, ...]]) -> None:
    rest = plan(from_hour="2026-01-01T00:00:00Z", to_hour="2026-01-02T00:00:00Z")["rest"]
    plan(**rest)
    assert planned[1] == (hour(2, 0), hour(2, 0), "auto", False)
