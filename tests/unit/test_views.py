"""How views are rendered: windows out of panes, cubes by name, and faults that are named."""

from __future__ import annotations

import pytest

from include.contracts import load_contract, load_contracts
from include.warehouse.views import UnknownCubeError, ViewError, served_cubes, view_names, view_sql

CUBES = served_cubes(load_contracts())


@pytest.mark.parametrize(
    ("cube", "width", "slide", "shifts"),
    [
        ("user_actions", 60, 30, [0, 30]),
        ("user_minutes", 300, 120, [0, 120, 240]),
        ("log_access", 300, 300, [0]),
        ("user_late", 60, 60, [0]),
    ],
)
def test_a_view_reads_the_cells_once_for_each_window_that_may_hold_them(
    cube: str, width: int, slide: int, shifts: list[int]
) -> None:
    assert CUBES.get(cube).shifts(width, slide, filtered=False) == shifts
    assert CUBES.get(cube).shifts(width, slide, filtered=True) == [0]


@pytest.mark.parametrize(
    ("cube", "width", "slide"),
    [
        ("user_minutes", 60, 30),
        ("user_minutes", 90, 60),
        ("user_minutes", 60, 120),
        ("user_minutes", 60, 0),
        ("user_minutes", 7200, 60),
        ("user_late", 300, 300),
        ("ad_arrival", 300, 60),
    ],
)
def test_windows_that_are_not_made_of_the_panes_are_refused_with_both(
    cube: str, width: int, slide: int
) -> None:
    with pytest.raises(ViewError, match=rf"(?s)({cube}.*{width}|{width}.*{cube})"):
        CUBES.get(cube).shifts(width, slide, filtered=False)


def test_a_cube_of_nobody_is_refused_by_name() -> None:
    with pytest.raises(UnknownCubeError, match="'user_minutes'"):
        view_sql("user_totals", [load_contract("logs")])


@pytest.mark.parametrize(
    ("stream", "view", "cube"), [("user_events", "user_totals", 1), ("logs", "arrival_delay", 2)]
)
def test_a_cube_that_does_not_count_its_events_is_refused_by_name(stream: str, view: str, cube: int) -> None:
    contract = load_contract(stream)
    cubes = list(contract.cubes)
    cubes[cube] = cubes[cube].model_copy(update={"measures": cubes[cube].measures[1:]})
    with pytest.raises(ViewError, match=f"{cubes[cube].name} has no count of its events"):
        view_sql(view, [contract.model_copy(update={"cubes": tuple(cubes)})])


def test_arrival_delays_are_those_of_every_stream_that_has_them() -> None:
    text = view_sql("arrival_delay", [load_contract("logs")])
    assert "log_arrival_delta" in text
    assert "ad_arrival_delta" not in text
    ads = load_contract("ad_events")
    without = ads.model_copy(update={"cubes": ads.cubes[:1]})
    with pytest.raises(UnknownCubeError, match="delay_ms"):
        view_sql("arrival_delay", [without])


@pytest.mark.parametrize("view", view_names())
def test_a_file_creates_the_view_of_its_name(view: str) -> None:
    assert f"\nCREATE VIEW {view} AS\n" in view_sql(view, load_contracts())
