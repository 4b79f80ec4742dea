"""Cells of every kind of dimension and measure, and their digest as ClickHouse 18.16 gives it."""

from __future__ import annotations

from datetime import UTC

from include.contracts import Contract
from include.contracts.model import NO_MAXIMUM
from include.reconcile.measure import Cell
from include.reconcile.types import epoch
from tests.contracts import WIDE
from tests.helpers import EMPTY, MOMENT

CONTRACT = Contract.model_validate(WIDE)
FIGURES, LATE, EVENTS = CONTRACT.cubes
HOUR = MOMENT.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
AT = epoch(HOUR)
ARRIVED = AT + 120


def figures(cube_number: int, **changes: int) -> tuple[int, ...]:
    cube = CONTRACT.cubes[cube_number]
    return tuple(changes.get(item.name, EMPTY[item.kind]) for item in cube.measures)


def cell(cube_number: int, window: int, dimensions: tuple[str | int, ...], came: dict[str, int]) -> Cell:
    """A cell whose only copy counts."""
    own = figures(cube_number, **came)
    return Cell(CONTRACT.cubes[cube_number].name, AT, AT + window, dimensions, own, own)


CELLS = [
    cell(0, 0, ("shop", ""), {"n": 3, "held": 2, "signed_sum": -5, "signed_min": -7, "signed_max": 2}),
    cell(0, 0, ("shop", "it's"), {"n": 1, "signed_squared": 10**18, "first_us": AT * 10**6}),
    cell(0, 3570, ("ü", ""), {"n": 2, "signed_sum": -(10**18), "delay_min_us": -1}),
    cell(1, 0, (ARRIVED, 1_010, "INFO"), {"n": 1, "last_us": AT * 10**6, "steps": -3}),
    cell(1, 0, (ARRIVED + 60, 0, ""), {"n": 2, "last_us": AT * 10**6 + 1}),
    Cell(EVENTS.name, AT, AT, (AT * 10**6, 3, 2**40, "::1"), (NO_MAXIMUM,), (-1,)),
]


DIGESTS = (
    "wide_figures=3-10277435298363250682-9038468319182315584 "
    "wide_late=2-12991357416298571752-5454229946872027080 "
    "wide_events=1-3476104615695739115-3476104615695739115"
)
