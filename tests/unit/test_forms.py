"""Times and hours of forms: one reading of them, and a refusal that names field and value where they are none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from include.demo.proved_hour import revenue_by_country
from include.forms import FormError, field_hour, field_time
from include.quality.hours import parse_hours
from include.quality.task import check_requested
from include.reconcile import steps
from include.reconcile.form import FORM
from include.reconcile.inject.order import USER_ERRORS, parse_hour
from include.refusal import RefusedError
from include.replay.form import parse_choice
from include.settings import Settings

FIVE = datetime(2026, 1, 1, 5, tzinfo=UTC)


class Run:
    run_type, logical_date = "manual", None


@pytest.mark.parametrize("text", ["2026-01-01T05:00:00", "2026-01-01T05:00:00Z", "2026-01-01T06:00:00+01:00"])
def test_a_time_without_an_offset_is_utc(text: str) -> None:
    assert field_time("start", text) == FIVE


def test_hours_of_every_form_are_the_same_hour() -> None:
    assert field_hour("hour", "2026-01-01T05") == parse_hour("2026-01-01T05:00:00Z") == FIVE
    assert parse_hours("2026-01-01T05, 2026-01-01T05") == [FIVE]


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (lambda text: parse_hours(text), "hour"),
        (lambda text: parse_hour(text), "hour"),
        (lambda text: revenue_by_country(Settings.model_construct(), text), "partition"),
        (lambda text: parse_choice({"reasons": ["schema"], "from_time": text, "to_time": None}), "from_time"),
    ],
)
@pytest.mark.parametrize("text", ["teatime", "2026-01-01T99", "2026-13-01T05:00:00Z", "2026-01-01T05:30:99Z"])
def test_what_is_no_time_is_refused_by_field_and_value(
    read: Callable[[str], Any], field: str, text: str
) -> None:
    with pytest.raises(FormError, match=f"^{field} '{text}' is no "):
        read(text)


def test_the_tasks_refuse_it_in_one_line() -> None:
    form = {name: default for name, (default, _) in FORM.items()}
    with pytest.raises(RefusedError, match=r"^to_hour 'teatime' is no ISO 8601 time"):
        steps.plan({**form, "to_hour": "teatime"}, Run())
    with pytest.raises(RefusedError, match=r"^hour '2026-01-01T99' is no hour"):
        check_requested([("ad_events", "2026-01-01T99")])
    assert FormError in USER_ERRORS, "inject_drift shows a trace for an hour that is none"
