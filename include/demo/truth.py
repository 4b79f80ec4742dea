"""Compares what the views serve with what the generator says it sent.

A sealed hour holds each identity once; until then, events count as they came. The truth is the sum
over the generator's runs, which share no event ids.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.warehouse.sql import read_sql

Cell = tuple[datetime, str]
Figures = dict[str, int]


@dataclass(frozen=True)
class ServedView:
    """A view that serves a cube as it is: for each measure the column and the scale of its figures."""

    name: str
    columns: dict[str, tuple[str, int]]


SERVED = {
    "ad_events": ServedView(
        "ad_events_aggregated", {"event_count": ("event_count", 0), "revenue": ("total_revenue", 6)}
    )
}


@dataclass(frozen=True)
class Comparison:
    """Cells compared, and the first of those that differ with expected and served figures."""

    compared: int
    unequal: int
    examples: tuple[str, ...]


def read_truth(client: Client, stream: str) -> dict[Cell, Figures]:
    """Return the figures that must be served for each window and dimensions, as of the certificates in force.

    What was sent before an hour's certificate counts each identity once, what came after it as it came.
    """
    values = {"stream": stream}
    certified = {row[0]: row[6] for row in client.execute(read_sql("report/certificates.sql"), values)}
    truth: dict[Cell, Figures] = {}
    for window, dimensions, once, came, started in client.execute(read_sql("report/truth.sql"), values):
        sealed = certified.get(window.replace(minute=0, second=0))
        figures = json.loads(once if sealed is not None and started < sealed else came)
        cell = truth.setdefault((window, dimensions), {})
        for measure, figure in figures.items():
            cell[measure] = cell.get(measure, 0) + figure
    return truth


def read_served(client: Client, contract: Contract) -> dict[Cell, tuple[str, Figures]]:
    """Return for each window and dimensions the status and the exact figures that the view serves."""
    view, cube = SERVED[contract.stream], contract.cubes[0]
    columns = ", ".join(
        ["window_start", "status", *cube.dimensions, *(name for name, _ in view.columns.values())]
    )
    served: dict[Cell, tuple[str, Figures]] = {}
    for window, status, *rest in client.execute(f"SELECT {columns} FROM {view.name}"):
        names = dict(zip(cube.dimensions, rest, strict=False))
        values = rest[len(cube.dimensions) :]
        figures = {
            measure: int(value * 10**scale)
            for (measure, (_, scale)), value in zip(view.columns.items(), values, strict=True)
        }
        served[window, json.dumps(names, sort_keys=True, separators=(",", ":"))] = status, figures
    return served


def compare_with_truth(client: Client, contract: Contract) -> Comparison:
    """Compare every cell that is served or was sent."""
    truth, served = read_truth(client, contract.stream), read_served(client, contract)
    unequal = []
    for cell in sorted(truth.keys() | served.keys()):
        status, figures = served.get(cell, ("not served", {}))
        expected = truth.get(cell, {})
        if _present(expected) != _present(figures):
            unequal.append(f"{cell[0]:%Y-%m-%d %H:%M} {cell[1]} {status}: sent {expected}, served {figures}")
    return Comparison(len(truth.keys() | served.keys()), len(unequal), tuple(unequal[:10]))


def _present(figures: Figures) -> Figures:
    """A cell whose only records were copies of others is not served, and holds nothing but zeros."""
    return {measure: figure for measure, figure in figures.items() if figure}
