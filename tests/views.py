"""A warehouse whose cells, seals and takeovers a test writes by hand, on the server and on chdb alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from chdb.session import Session
from clickhouse_driver import Client

from include.contracts import Cube, Measure, load_contracts
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.streaming.ledger import batch_id
from include.warehouse.migrate import schema_statements
from include.warehouse.queries import query_sql
from include.warehouse.views import view_names, view_sql

HOUR = datetime(2026, 1, 1, 10, tzinfo=UTC)
LONG_BEFORE, LONG_AFTER = datetime(1971, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
ROWS = 50  # in a statement


def at(clock: str | datetime) -> datetime:
    """Return a moment of the first of January 2026, e.g. at("10:59:30"); a whole moment as it is."""
    if isinstance(clock, datetime):
        return clock
    return datetime.fromisoformat(f"2026-01-01T{clock}").replace(tzinfo=UTC)


def text(moment: datetime) -> str:
    """Return a moment as ClickHouse writes it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Desk:
    """A database with every cube and view; `run` executes a statement, `fetch` returns rows by column.

    Rows are written when something is asked, one statement for each table.
    """

    run: Callable[[str], object]
    fetch: Callable[[str], list[Row]]
    pending: dict[str, list[str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def ask(self, query: str) -> list[Row]:
        """Return the rows of a query, by column."""
        for target, rows in self.pending.items():
            for first in range(0, len(rows), ROWS):
                self.run(f"INSERT INTO {target} {' UNION ALL '.join(rows[first : first + ROWS])}")
            self.written.add(target.split()[0])
        self.pending.clear()
        return self.fetch(query)

    def add(self, table: str, values: dict[str, str]) -> None:
        """Insert a row of expressions by column."""
        row = "SELECT " + ", ".join(f"{value} AS {name}" for name, value in values.items())
        self.pending.setdefault(f"{table} ({', '.join(values)})", []).append(row)

    def came(
        self, cube: str, pane: str | datetime, batch: int = 0, generation: int = 1, **figures: Any
    ) -> None:
        """Insert a cell that a batch brought; measures that are not given are those of no record."""
        found = _cube(cube)
        self.add(found.delta_table, _cell(pane, found, {"batch": batch_id(generation, batch)}, figures))

    def sealed(
        self,
        cube: str,
        pane: str | datetime,
        frontier: int = 0,
        seal: int = 9,
        generation: int = 1,
        **figures: Any,
    ) -> None:
        """Insert an exact cell under (frontier, seal); what came is the same unless came_... says otherwise."""
        found = _cube(cube)
        place = {"frontier": batch_id(generation, frontier), "seal": seal}
        self.add(found.sealed_table, _cell(pane, found, place, figures))

    def certified(
        self, stream: str, *hours: str, frontier: int = 0, seal: int = 9, generation: int = 1
    ) -> None:
        """Insert the certificate of each hour."""
        for hour in hours:
            values = {"stream": f"'{stream}'", "hour": f"toDateTime('{text(at(hour))}', 'UTC')"}
            values["frontier"] = f"toUInt64({batch_id(generation, frontier)})"
            self.add("certificates", values | {"seal": f"toUInt64({seal})", "verdict": "'PROVED'"})

    def takes_over(self, generation: int = 1, keep: dict[int, int] | None = None) -> None:
        """Insert a takeover row of every stream; keep: highest valid batch of each earlier generation."""
        limits = {g: batch_id(g, batch) for g, batch in (keep or {}).items()}
        limits[generation] = ((generation + 1) << 40) - 1
        numbers = [", ".join(f"toUInt64({n})" for n in side) for side in (limits, limits.values())]
        for contract in load_contracts():
            values = {"stream": f"'{contract.stream}'", "generation": f"toUInt64({generation})"}
            values |= {"keep_gen": f"[{numbers[0]}]", "keep_upto": f"[{numbers[1]}]"}
            self.add("takeovers", values)

    def served(self, view: str, *columns: str) -> list[Row]:
        """Return a view's rows in order of time, after checking that its query gives the same."""
        rows = _ordered(self.ask(f"SELECT * FROM {view}"))
        asked = self.asked(view, LONG_BEFORE, LONG_AFTER)
        assert asked == rows, f"{view}:\n  query {asked}\n  view  {rows}"
        return [{name: row[name] for name in columns} for row in rows] if columns else rows

    def asked(self, view: str, first: datetime, end: datetime) -> list[Row]:
        """Return the rows of a view's query with the filter inside."""
        bounds = {"from": f"'{text(first)}'", "to": f"'{text(end)}'"}
        return _ordered(self.ask(query_sql(view) % bounds))

    def cells_read(self, query: str) -> dict[str, int]:
        """Return how many rows of each cube's table a query would read; on chdb alone."""
        rows = self.ask(f"EXPLAIN ESTIMATE {query}")
        return {row["table"]: row["rows"] for row in rows if row["table"] != "takeovers"}

    def clear(self) -> None:
        """Empty every table that was written to."""
        for table in self.written:
            self.run(f"TRUNCATE TABLE {table}")
        self.written.clear()


def server_desk(client: Client) -> Desk:
    """Return a desk on a database of the server, which is prepared already."""

    def ask(query: str) -> list[Row]:
        rows, columns = client.execute(query, with_column_types=True)
        return [dict(zip([name for name, _ in columns], map(_plain, row), strict=True)) for row in rows]

    return Desk(client.execute, ask)


def chdb_desk(session: Session, database: str) -> Desk:
    """Return a desk on a new database inside this process."""
    for statement in (f"CREATE DATABASE {database}", f"USE {database}"):
        session.query(statement)
    contracts = load_contracts()
    for statement in schema_statements(cube for contract in contracts for cube in contract.cubes):
        session.query(statement)
    for view in view_names():
        session.query(view_sql(view, contracts))
    session.query("SET output_format_json_quote_decimals = 1")

    def ask(query: str) -> list[Row]:
        lines = str(session.query(query, "JSONCompactEachRowWithNamesAndTypes")).splitlines()
        names, types, *rows = [json.loads(line) for line in lines if line] or [[], []]
        return [dict(zip(names, map(_typed, types, row), strict=True)) for row in rows]

    return Desk(session.query, ask)


def minutes(start: str, count: int, slide_seconds: int = 60) -> list[str]:
    """Return window starts as the views write them."""
    return [text(at(start) + timedelta(seconds=slide_seconds * number)) for number in range(count)]


def _cube(name: str) -> Cube:
    return next(cube for contract in load_contracts() for cube in contract.cubes if cube.name == name)


def _cell(pane: str | datetime, cube: Cube, place: dict[str, int], figures: dict[str, Any]) -> dict[str, str]:
    values = {"window_start": f"toDateTime('{text(at(pane))}', 'UTC')"}
    values |= {name: f"toUInt64({number})" for name, number in place.items()}
    for name, kind in cube.dimension_types.items():
        value = figures.get(name, 0 if kind != "String" else "")
        values[name] = f"'{value}'" if kind == "String" else f"CAST({_number(value)} AS {kind})"
    for measure in cube.measures:
        figure = figures.get(measure.name, _nothing(measure))
        values[measure.name] = f"CAST('{figure}' AS {measure.clickhouse_type})"
        if "seal" in place:
            came = figures.get(f"came_{measure.name}", figure)
            values[f"came_{measure.name}"] = f"CAST('{came}' AS {measure.clickhouse_type})"
    unknown = set(figures) - set(values)
    assert not unknown, f"{cube.name} has no {sorted(unknown)}"
    return values


def _number(value: object) -> str:
    return f"toDateTime('{text(value)}', 'UTC')" if isinstance(value, datetime) else str(value)


def _nothing(measure: Measure) -> int:
    return {"min": NO_MINIMUM, "max": NO_MAXIMUM}.get(measure.kind, 0)


def _plain(value: object) -> object:
    return text(value) if isinstance(value, datetime) else value


def _typed(kind: str, value: Any) -> object:
    kind = kind.removeprefix("Nullable(")
    if value is None:
        return None
    if kind.startswith("Decimal"):
        return Decimal(value)
    if kind.startswith(("UInt", "Int")):
        return int(value)
    return float(value) if kind.startswith("Float") else value


def _ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])
