"""What one event adds to a cell of a cube, for whole columns of events; partials.merge_cube adds it up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.contracts import Contract, Cube, Measure
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM, Condition
from include.streaming.events import Events
from include.streaming.partials import cube_schema


def cube_rows(cube: Cube, events: Events) -> pa.Table:
    """Return a row for each event that the cube takes, as merge_cube takes them."""
    if cube.only == "late":
        events = events.take(np.flatnonzero(events.late))
    rows: dict[str, object] = {"window_start": events.windows(cube.pane_seconds)}
    rows |= {name: events.dimension(cube, name) for name in cube.dimensions}
    rows |= {measure.name: _figures(measure, events) for measure in cube.measures}
    return pa.table(rows, schema=cube_schema(cube))


def _figures(measure: Measure, events: Events) -> pa.Array | np.ndarray:
    """Return what each event gives to a measure; nothing is null."""
    if measure.where is not None:
        return _meets(measure.where, events.columns[measure.where.field])
    if measure.field is None:
        return np.ones(len(events), np.int64)
    if measure.kind == "count":
        return _holds(events.columns[measure.field])
    if measure.field == "event_us":
        return events.time_us
    if measure.field == "delay_us":
        return events.delay_us
    column = events.columns[measure.field]
    if measure.kind == "min":
        return pc.fill_null(column, NO_MINIMUM)
    if measure.kind == "max":
        return pc.fill_null(column, NO_MAXIMUM)
    figures = _coarser(column, events.contract, measure)
    return figures if measure.kind == "sum" else figures.astype(np.uint64) ** np.uint64(2)


def _meets(condition: Condition, column: pa.Array) -> pa.Array:
    if condition.equals is not None:
        met = pc.equal(column, condition.equals)
    elif condition.at_least is not None:
        met = pc.greater_equal(column, condition.at_least)
    else:
        met = pc.less_equal(column, condition.at_most)
    return pc.fill_null(met, False).cast(pa.int64())


def _holds(column: pa.Array) -> pa.Array:
    held = pc.not_equal(column, "") if pa.types.is_string(column.type) else column.is_valid()
    return held.cast(pa.int64())


def _coarser(column: pa.Array, contract: Contract, measure: Measure) -> np.ndarray:
    """Return figures at the measure's scale, halves to even, 0 where absent."""
    figures: np.ndarray = pc.fill_null(column, 0).to_numpy()
    unit = 10 ** ((contract.fields[str(measure.field)].scale or 0) - contract.scale_of(measure))
    if unit == 1:
        return figures
    whole, rest = np.divmod(figures, unit)
    rounded: np.ndarray = whole + ((2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1)))
    return rounded
