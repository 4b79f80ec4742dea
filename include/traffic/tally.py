"""The truth of a run: the exact figures of every cube, window and dimension, from what was sent.

Nothing of the pipeline takes part, so that an error there cannot hide here.
Owns: what each cube of the contract comes to. Leaves to the generator: which events there are, and
which copy counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from include.contracts import Contract, Cube, Measure
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM, Condition

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Known only once Kafka has taken a record: truth leaves them out, so a comparison sums over them.
PLACE_IN_THE_LOG = ("kafka_partition", "record_offset")


@dataclass(frozen=True)
class TruthRow:
    """One window and dimension: JSON of its dimensions and of its exact figures.

    `once` counts each identity once per event hour, `came` every copy. A window that only a repeated
    identity touches has zeros in `once`, NO_MINIMUM and NO_MAXIMUM: after the seal it is not served.
    Dimensions are text, derived ones integers (arrived: epoch seconds). kafka_partition and
    record_offset are left out: to compare a cube that has them, merge its rows over these two.
    """

    cube: str
    window_start: datetime
    dimensions: str
    once: str
    came: str


@dataclass(frozen=True)
class Text:
    """Texts of some events: an index into `labels` for each; the empty label is an absent field."""

    code: I64
    labels: Sequence[str]


@dataclass(frozen=True)
class Number:
    """Figures of some events, at the field's scale; `held` says which events have the field."""

    figure: I64
    held: Flags


@dataclass(frozen=True)
class Accepted:
    """The accepted events of a run, one entry each in the order of sending.

    `event_us` is in epoch microseconds, as the record's format can say it; `kafka_ms` in epoch
    milliseconds; `counts_once` false for a repeated identity. Texts and numbers by field.
    """

    event_us: I64
    kafka_ms: I64
    counts_once: Flags
    texts: Mapping[str, Text]
    numbers: Mapping[str, Number]

    @property
    def delay_us(self) -> I64:
        """Kafka time less event time, microseconds."""
        return self.kafka_ms * 1000 - self.event_us


def tally(contract: Contract, events: Accepted) -> list[TruthRow]:
    """Return the truth of every cube of `contract`."""
    return [row for cube in contract.cubes for row in _of_cube(contract, cube, events)]


def count_copies(contract: Contract, truth: Iterable[TruthRow]) -> int:
    """Return how many of the events repeat an identity in its hour; 0 where no cube counts every event."""
    counts = {cube.name: cube.counts_events for cube in contract.cubes if cube.counts_events}
    if not counts:
        return 0
    name, measure = next(iter(counts.items()))
    rows = [row for row in truth if row.cube == name]
    return sum(json.loads(row.came)[measure] - json.loads(row.once)[measure] for row in rows)


def _of_cube(contract: Contract, cube: Cube, events: Accepted) -> Iterable[TruthRow]:
    taken = np.ones(events.event_us.size, dtype=np.bool_)
    if cube.only == "late":
        taken = events.delay_us > contract.lateness_seconds * 1_000_000
    rows = np.flatnonzero(taken)
    if not rows.size:
        return
    names = sorted(name for name in cube.dimensions if name not in PLACE_IN_THE_LOG)
    pane = events.event_us[rows] // (cube.pane_seconds * 1_000_000) * cube.pane_seconds
    cells, place = _cells([pane, *(_dimension(cube, name, events)[rows] for name in names)])
    first = events.counts_once[rows]
    figures = {m.name: _figure(contract, m, events)[rows] for m in cube.measures}
    came = {m.name: _merged(m, figures[m.name], place, cells[0].size) for m in cube.measures}
    once = {m.name: _merged(m, figures[m.name][first], place[first], cells[0].size) for m in cube.measures}
    tokens = {name: [json.dumps(label) for label in text.labels] for name, text in events.texts.items()}
    pattern = "{" + ",".join(f'"{name}":%s' for name in names) + "}"
    starts = {int(start): datetime.fromtimestamp(start, UTC) for start in np.unique(cells[0]).tolist()}
    columns = [
        [tokens[name][code] for code in column.tolist()] if name in tokens else column.tolist()
        for name, column in zip(names, cells[1:], strict=True)
    ]
    for start, labels, single, every in zip(
        cells[0].tolist(), zip(*columns, strict=True), _as_json(once), _as_json(came), strict=True
    ):
        yield TruthRow(cube.name, starts[start], pattern % labels, once=single, came=every)


def _cells(columns: Sequence[I64]) -> tuple[list[I64], NDArray[np.intp]]:
    """Return the distinct combinations, sorted, and the place of each event among them."""
    order = np.lexsort(columns[::-1])
    new = np.ones(order.size, dtype=np.bool_)
    new[1:] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    place = np.empty(order.size, dtype=np.intp)
    place[order] = np.cumsum(new) - 1
    return [column[order][new] for column in columns], place


def _dimension(cube: Cube, name: str, events: Accepted) -> I64:
    """Return a dimension of every event: the code of a text, or the integer that it is."""
    if name == "arrived":
        width = cube.arrival_seconds or 1
        return events.kafka_ms // (width * 1000) * width
    if name == "delay_ms":
        return delay_bins(events.delay_us)
    return events.event_us if name == "event_us" else events.texts[name].code


def delay_bins(delay_us: I64) -> I64:
    """Return the lower edges of the bins, in ms: 1 ms wide below 1 s, 10 * 2**k wide from 1000 * 2**k ms on."""
    delay_ms = np.maximum(delay_us // 1000, 0)
    doubling = np.searchsorted(1000 << np.arange(40), delay_ms, side="right") - 1
    width = np.where(doubling < 0, 1, 10 << np.maximum(doubling, 0))
    bins: I64 = delay_ms - delay_ms % width
    return bins


def _figure(contract: Contract, measure: Measure, events: Accepted) -> I64:
    """Return what each event adds to the measure, or is to a minimum or maximum."""
    every = np.ones(events.event_us.size, dtype=np.bool_)
    if measure.where is not None:
        number = events.numbers[measure.where.field]
        return (number.held & _keeps(measure.where, number.figure)).astype(np.int64)
    if measure.field is None:
        return every.astype(np.int64)
    if measure.field in ("event_us", "delay_us"):
        number = Number(getattr(events, measure.field), every)
    elif measure.field in events.numbers:
        number = events.numbers[measure.field]
    else:
        text = events.texts[measure.field]
        number = Number(text.code, np.array([label != "" for label in text.labels])[text.code])
    if measure.kind == "count":
        return number.held.astype(np.int64)
    if measure.kind in ("min", "max"):
        return np.where(number.held, number.figure, NO_MINIMUM if measure.kind == "min" else NO_MAXIMUM)
    figure = number.figure
    if measure.scale is not None:
        own = contract.fields[measure.field].scale or 0
        figure = np.rint(figure / 10 ** (own - measure.scale)).astype(np.int64)
    return np.where(number.held, figure**2 if measure.kind == "sumsq" else figure, 0)


def _keeps(condition: Condition, figure: I64) -> Flags:
    least = NO_MAXIMUM if condition.at_least is None else condition.at_least
    most = NO_MINIMUM if condition.at_most is None else condition.at_most
    if condition.equals is not None:
        least = most = condition.equals
    kept: Flags = (figure >= least) & (figure <= most)
    return kept


def _merged(measure: Measure, figures: I64, place: NDArray[np.intp], size: int) -> list[int]:
    cells = np.full(size, {"min": NO_MINIMUM, "max": NO_MAXIMUM}.get(measure.kind, 0), dtype=np.int64)
    if measure.kind == "min":
        np.minimum.at(cells, place, figures)
    elif measure.kind == "max":
        np.maximum.at(cells, place, figures)
    else:
        np.add.at(cells, place, figures)
    return [int(value) for value in cells]


def _as_json(columns: Mapping[str, Sequence[int]]) -> Iterable[str]:
    """Yield the figures of each cell, measures in alphabetical order."""
    names = sorted(columns)
    pattern = "{" + ",".join(f'"{name}":%d' for name in names) + "}"
    return (pattern % figures for figures in zip(*(columns[name] for name in names), strict=True))
