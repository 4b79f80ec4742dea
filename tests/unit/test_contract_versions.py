"""What versions of a contract have in common: what a recount fills, what it cannot, and what stays comparable."""

from __future__ import annotations

from typing import Any

from include.contracts import Contract, Measure
from include.contracts.model import Condition
from include.reconcile.versions import added, comparable, unfillable
from tests.helpers import ad_events

TODAY = ad_events()
ARRIVAL = TODAY.cubes[1]
FIRST = TODAY.model_copy(update={"version": 1, "cubes": TODAY.cubes[:1]})


def changed(**parts: Any) -> Contract:
    return FIRST.model_copy(update={"version": 2, **parts})


def cube(**parts: Any) -> Any:
    return FIRST.cubes[0].model_copy(update=parts)


COUNT, REVENUE = FIRST.cubes[0].measures
FEES = REVENUE.model_copy(update={"name": "fees", "field": "fee"})
FEE = FIRST.fields["revenue"]
DEVICES = cube(name="ad_devices", dimensions=("device",), measures=(COUNT,))


def test_new_cubes_and_measures_are_named_and_an_equal_contract_adds_none() -> None:
    assert added(changed(), FIRST) == set()
    wider = changed(cubes=(cube(measures=(COUNT, REVENUE, FEES)), DEVICES))
    assert added(wider, FIRST) == {"ad_events.fees", "ad_devices"}
    assert added(FIRST, wider) == set(), "what an older contract does not ask for is not missed"


def test_a_measure_that_means_something_else_is_new() -> None:
    other = REVENUE.model_copy(update={"field": "fee"})
    assert added(changed(cubes=(cube(measures=(COUNT, other)),)), FIRST) == {"ad_events.revenue"}


def test_a_new_measure_of_a_new_field_can_be_filled() -> None:
    fields = {**FIRST.fields, "fee": FEE}
    assert unfillable(changed(fields=fields, cubes=(cube(measures=(COUNT, REVENUE, FEES)),)), FIRST) == []


def test_what_cannot_be_filled_is_said() -> None:
    browser = {**FIRST.fields, "browser": FIRST.fields["user_id"]}
    browsers = cube(name="ad_browsers", dimensions=("browser",))
    assert unfillable(changed(fields=browser, cubes=(browsers,)), FIRST) == [
        "cube ad_browsers: its dimension browser is no text field of version 1"
    ]
    coarse = {**FIRST.fields, "revenue": FEE.model_copy(update={"scale": 3})}
    assert unfillable(changed(fields=coarse), FIRST) == [
        "cube ad_events: its measure revenue has scale 3, in version 1 6"
    ]
    assert "needs a new name" in unfillable(changed(cubes=(cube(pane_seconds=30),)), FIRST)[0]
    assert "tells copies apart" in unfillable(changed(identity=("browser",), fields=browser), FIRST)[0]


def test_what_was_filled_is_left_out_of_the_comparison() -> None:
    wider = changed(cubes=(cube(measures=(COUNT, REVENUE, FEES)), DEVICES))
    assert comparable(wider, ()).cubes == wider.cubes
    assert comparable(wider, ("ad_events.fees", "ad_devices")).cubes == FIRST.cubes


def test_a_cube_by_what_follows_from_the_record_and_its_place_can_be_filled() -> None:
    assert added(TODAY, FIRST) == {"ad_arrival"}
    assert unfillable(TODAY, FIRST) == []


def test_a_cube_of_other_arrival_windows_or_other_events_needs_a_new_name() -> None:
    for update in ({"arrival_seconds": 60}, {"only": "late"}):
        other = TODAY.model_copy(update={"version": 3, "cubes": (ARRIVAL.model_copy(update=update),)})
        assert "cube ad_arrival has other panes" in unfillable(other, TODAY)[0]


def test_a_condition_on_a_figure_of_another_scale_cannot_be_filled() -> None:
    dear = Measure(name="dear", kind="count", where=Condition(field="revenue", at_least=500))
    coarse = {**FIRST.fields, "revenue": FEE.model_copy(update={"scale": 3})}
    reasons = unfillable(changed(fields=coarse, cubes=(cube(measures=(COUNT, dear)),)), FIRST)
    assert reasons == ["cube ad_events: its measure dear has scale 3, in version 1 6"]
