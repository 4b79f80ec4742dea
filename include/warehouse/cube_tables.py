"""The two tables of a cube: created, widened by new measures, and never reshaped behind a person's back.

Rows older than an added measure read its figure of a cell without a value, which is the column's default.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from clickhouse_driver import Client

from include.contracts import Cube
from include.warehouse.sql import read_sql

TEMPLATES = {"delta_table": "cubes/delta.sql.j2", "sealed_table": "cubes/sealed.sql.j2"}


class Column(NamedTuple):
    """A column by name and type, and the expression that older rows read, empty for that of the type."""

    name: str
    kind: str
    default: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.kind}" + (f" DEFAULT {self.default}" if self.default else "")


class CubeShapeError(RuntimeError):
    """A cube's table cannot take the shape that its contract asks for."""


def create_statements(cube: Cube) -> dict[str, str]:
    """Return the statement that creates each table of a cube, by table."""
    return {
        str(getattr(cube, attribute)): read_sql(template, cube=cube)
        for attribute, template in TEMPLATES.items()
    }


def ensure_cube(client: Client, cube: Cube) -> list[tuple[str, bool]]:
    """Create or widen a cube's tables; return each step by name and whether it changed anything.

    Raises:
        CubeShapeError: a table has other dimensions, or measures that the contract does not name.
    """
    steps = []
    for table, wanted in create_statements(cube).items():
        existed = bool(client.execute("EXISTS TABLE " + table)[0][0])
        client.execute(wanted)
        found = [Column(row[0], row[1], row[3]) for row in client.execute(f"DESCRIBE TABLE {table}")]
        expected = [Column(*row) for row in _COLUMN.findall(wanted)]
        new = new_columns(cube, table, found, expected)
        for after, column in new:
            client.execute(f"ALTER TABLE {table} ADD COLUMN {column} AFTER {after}")
        late = without_default(found, expected)
        for column in late:
            client.execute(f"ALTER TABLE {table} MODIFY COLUMN {column}")
        steps.append((table, not existed))
        steps += [(f"{table}.{column.name}", True) for _, column in new]
        steps += [(f"{table}.{column.name} default", True) for column in late]
    return steps


_COLUMN = re.compile(r"^    (\w+) (.+?)(?: DEFAULT (.+?))?,?$", flags=re.MULTILINE)


def new_columns(
    cube: Cube, table: str, found: list[Column], expected: list[Column]
) -> list[tuple[str, Column]]:
    """Return the measure columns that a table lacks, each with the column that it follows.

    Raises:
        CubeShapeError
    """
    measures = {name for item in cube.measures for name in (item.name, f"came_{item.name}")}
    shape = [column[:2] for column in found]
    missing = [column for column in expected if column[:2] not in shape]
    kept = [column[:2] for column in expected if column[:2] in shape]
    if shape != kept or any(column.name not in measures for column in missing):
        raise CubeShapeError(
            f"table {table} has the columns {_named(found)}, the contract asks for {_named(expected)}: "
            "only measures can be added; a cube with other dimensions needs a new name"
        )
    order = [column.name for column in expected]
    return [(order[order.index(column.name) - 1], column) for column in missing]


def without_default(found: list[Column], expected: list[Column]) -> list[Column]:
    """Return the columns of a table that lack the default that they should have."""
    bare = {column.name for column in found if not column.default}
    return [column for column in expected if column.default and column.name in bare]


def _named(columns: list[Column]) -> str:
    return ", ".join(f"{column.name} {column.kind}" for column in columns)
