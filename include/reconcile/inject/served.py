"""What an hour serves: the rows that a damage may choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.contracts import Cube
from include.reconcile.inject.order import HOUR_SECONDS, Order, TooFewRowsError
from include.warehouse.sql import read_sql

Row = Mapping[str, Any]  # by column; times in epoch seconds


@dataclass(frozen=True)
class Served:
    """Rows of one cube and hour under the certificate in force or, in an open hour, its valid deltas."""

    cube: Cube
    sealed: bool
    where: str
    rows: list[Row]

    @property
    def table(self) -> str:
        """The table that holds the rows."""
        return self.cube.sealed_table if self.sealed else self.cube.delta_table

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns after the window."""
        return (*self.cube.dimensions, *(("frontier", "seal") if self.sealed else ("batch",)))

    def key(self, row: Row) -> tuple[Any, ...]:
        """Return a row's whole key."""
        return (row["window_start"], *(row[name] for name in self.keys))

    def describe(self, row: Row) -> str:
        """Return a row's key in words."""
        start = datetime.fromtimestamp(row["window_start"], UTC)
        return " ".join([f"{start:%H:%M:%S}", *(f"{name}={self._shown(name, row)}" for name in self.keys)])

    def _shown(self, name: str, row: Row) -> str:
        if self.cube.dimension_types.get(name, "").startswith("DateTime"):
            return f"{datetime.fromtimestamp(row[name], UTC):%Y-%m-%dT%H:%M:%SZ}"
        return str(row[name])

    def figures(self, rows: Iterable[Row]) -> dict[str, int]:
        """Return the totals of the measures that are numbers."""
        kept = list(rows)
        names = [measure.name for measure in self.cube.measures if measure.kind in ("count", "sum", "sumsq")]
        return {name: sum(int(row[name]) for row in kept) for name in names}


def served(order: Order, longest_pane: int = HOUR_SECONDS) -> Served:
    """Return what a cube serves of the order's hour: the first that holds enough rows, of those with such a pane.

    Raises:
        TooFewRowsError: each holds fewer rows than the order's size.
        UnknownCubeError
    """
    found = in_force(order)
    seen: list[Served] = []
    for cube in order.cubes():
        if cube.pane_seconds <= longest_pane:
            seen.append(sealed_rows(order, cube, *found) if found else delta_rows(order, cube))
            if len(seen[-1].rows) >= order.size:
                return seen[-1]
    tables = ", ".join(sorted(item.table for item in seen)) or f"no cube with a pane of {longest_pane} s"
    most = max((len(item.rows) for item in seen), default=0)
    raise TooFewRowsError(tables, seen[0].where if seen else order.where, most, order.size)


def sample(order: Order, found: Served) -> list[Row]:
    """Return `size` of the rows by chance, in order of their keys."""
    return sorted(order.chance.sample(found.rows, order.size), key=lambda row: str(found.key(row)))


def in_force(order: Order) -> tuple[int, int] | None:
    """Return (frontier, seal) of the hour's certificate."""
    values = {"stream": order.contract.stream, "hour": order.bounds["begin"]}
    found = order.client.execute(read_sql("inject/certificate_in_force.sql"), values)
    return (found[0][0], found[0][1]) if found else None


def sealed_rows(order: Order, cube: Cube, frontier: int, seal: int) -> Served:
    """Return the exact rows under a certificate, each with its as-they-came figures."""
    figures = [name for measure in cube.measures for name in (measure.name, f"came_{measure.name}")]
    columns = [*cube.dimensions, "frontier", "seal", *figures]
    found = order.client.execute(
        read_sql("inject/served_sealed.sql.j2", cube=cube, columns=as_numbers(cube, columns)),
        {**order.bounds, "frontier": frontier, "seal": seal},
    )
    return Served(cube, True, f"{order.where}, frontier {frontier}, seal {seal}", _rows(columns, found))


def delta_rows(order: Order, cube: Cube) -> Served:
    """Return the deltas of valid batches that came after the hour's certificate, all where there is none."""
    columns = [*cube.dimensions, "batch", *(measure.name for measure in cube.measures)]
    certified = in_force(order)
    batches = {row.batch for row in order.ledger().rows if order.hour in map(_in_utc, row.hours)}
    found = order.client.execute(
        read_sql("inject/served_deltas.sql.j2", cube=cube, columns=as_numbers(cube, columns)),
        {
            **order.bounds,
            "batches": tuple(sorted(batches)) or (0,),
            "frontier": certified[0] if certified else 0,
        },
    )
    return Served(cube, False, f"{order.where}, deltas of valid batches", _rows(columns, found))


def write(order: Order, table: str, rows: list[Row]) -> None:
    """Insert rows; a sealed row whose key is there replaces it."""
    columns = list(rows[0])
    order.client.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES",
        [tuple(row[name] for name in columns) for row in rows],
    )


def as_numbers(cube: Cube, columns: Sequence[str]) -> list[str]:
    """Return the columns as SELECT reads them: times as epoch seconds, which no time zone changes."""
    times = {name for name, kind in cube.dimension_types.items() if kind.startswith("DateTime")}
    return [f"toUInt32({name})" if name in times else name for name in columns]


def _rows(columns: list[str], found: list[tuple[Any, ...]]) -> list[Row]:
    return [dict(zip(["window_start", *columns], row, strict=True)) for row in found]


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
