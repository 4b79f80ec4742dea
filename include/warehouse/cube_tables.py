"""The two tables of a cube: created, widened by new measures, and never reshaped behind a person's back."""

from __future__ import annotations

import re

from clickhouse_driver import Client

from include.contracts import Cube
from include.warehouse.sql import read_sql

TEMPLATES = {"delta_table": "cubes/delta.sql.j2", "sealed_table": "cubes/sealed.sql.j2"}
Column = tuple[str, str]


class CubeShapeError(RuntimeError):
    """A cube's table cannot take the shape that its contract asks for."""


def ensure_cube(client: Client, cube: Cube) -> list[tuple[str, bool]]:
    """Create or widen a cube's tables; return each step by name and whether it changed anything.

    Raises:
        CubeShapeError: a table has other dimensions, or measures that the contract does not name.
    """
    steps = []
    for attribute, template in TEMPLATES.items():
        table, wanted = str(getattr(cube, attribute)), read_sql(template, cube=cube)
        existed = bool(client.execute("EXISTS TABLE " + table)[0][0])
        client.execute(wanted)
        found = [(row[0], row[1]) for row in client.execute(f"DESCRIBE TABLE {table}")]
        expected: list[Column] = re.findall(r"^    (\w+) (.+?),?$", wanted, flags=re.MULTILINE)
        new = new_columns(cube, table, found, expected)
        for after, (name, kind) in new:
            client.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} AFTER {after}")
        steps.append((table, not existed))
        steps += [(f"{table}.{name}", True) for _, (name, _) in new]
    return steps


def new_columns(
    cube: Cube, table: str, found: list[Column], expected: list[Column]
) -> list[tuple[str, Column]]:
    """Return the measure columns that a table lacks, each with the column that it follows.

    Raises:
        CubeShapeError
    """
    measures = {name for item in cube.measures for name in (item.name, f"came_{item.name}")}
    missing = [column for column in expected if column not in found]
    kept = [column for column in expected if column in found]
    if found != kept or any(name not in measures for name, _ in missing):
        raise CubeShapeError(
            f"table {table} has the columns {_named(found)}, the contract asks for {_named(expected)}: "
            "only measures can be added; a cube with other dimensions needs a new name"
        )
    order = [name for name, _ in expected]
    return [(order[order.index(column[0]) - 1], column) for column in missing]


def _named(columns: list[Column]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)
