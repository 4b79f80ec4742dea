"""Compares what is served of every cube with what the generator says it sent.

A sealed hour holds each identity once; until then, events count as they came. The truth is the sum
over the generator's runs, which share no event ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.traffic.tally import PLACE_IN_THE_LOG
from include.warehouse.sql import read_sql
from include.warehouse.views import served_cubes

Cell = tuple[str, datetime, str]  # cube, window, JSON of its dimensions
Figures = dict[str, int]
MERGES = {"min": min, "max": max}


@dataclass(frozen=True)
class Comparison:
    """Cells compared, and the first of those that differ with expected and served figures."""

    compared: int
    unequal: int
    examples: tuple[str, ...]


def read_truth(client: Client, contract: Contract) -> dict[Cell, Figures]:
    """Return the figures that must be served for each cell, as of the certificates in force.

    What was sent before an hour's certificate counts each identity once, what came after it as it came.
    """
    values = {"stream": contract.stream}
    certified = {row[0]: row[6] for row in client.execute(read_sql("report/certificates.sql"), values)}
    kinds = {cube.name: {m.name: m.kind for m in cube.measures} for cube in contract.cubes}
    counts = {cube.name: cube.plain_count for cube in contract.cubes}
    truth: dict[Cell, Figures] = {}
    for cube, window, dimensions, once, came, started in client.execute(read_sql("report/truth.sql"), values):
        sealed = certified.get(window.replace(minute=0, second=0))
        figures = json.loads(once if sealed is not None and started < sealed else came)
        count = counts[cube]  # a cell without events is not served
        if count is None or figures[count]:
            _merge(truth.setdefault((cube, window, dimensions), {}), figures, kinds[cube])
    return truth


def read_served(client: Client, contract: Contract, cube: Cube) -> dict[Cell, tuple[str, Figures]]:
    """Return for each cell of a cube its status and the exact figures that are served."""
    names = sorted(name for name in cube.dimensions if name not in PLACE_IN_THE_LOG)
    statement = read_sql(
        "report/served_cube.sql.j2",
        cube=cube,
        dimensions=names,
        cubes=served_cubes([contract]),
        filtered=False,
    )
    served: dict[Cell, tuple[str, Figures]] = {}
    for window, is_sealed, *rest in client.execute(statement):
        keys = dict(zip(names, rest, strict=False))
        figures = {m.name: int(figure) for m, figure in zip(cube.measures, rest[len(names) :], strict=True)}
        cell = cube.name, window, json.dumps(keys, separators=(",", ":"))
        served[cell] = "sealed" if is_sealed else "provisional", figures
    return served


def compare_with_truth(client: Client, contract: Contract) -> Comparison:
    """Compare every cell of every cube that is served or was sent."""
    truth = read_truth(client, contract)
    served: dict[Cell, tuple[str, Figures]] = {}
    for cube in contract.cubes:
        served |= read_served(client, contract, cube)
    unequal = []
    for cell in sorted(truth.keys() | served.keys()):
        status, figures = served.get(cell, ("not served", {}))
        expected = truth.get(cell, {})
        if expected != figures:
            name, window, keys = cell
            unequal.append(
                f"{name} {window:%Y-%m-%d %H:%M} {keys} {status}: sent {expected}, served {figures}"
            )
    return Comparison(len(truth.keys() | served.keys()), len(unequal), tuple(unequal[:10]))


def _merge(cell: Figures, figures: Figures, kinds: Mapping[str, str]) -> None:
    for measure, figure in figures.items():
        had = cell.get(measure)
        cell[measure] = figure if had is None else MERGES.get(kinds[measure], int.__add__)(had, figure)
