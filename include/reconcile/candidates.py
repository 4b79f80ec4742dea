"""Writes an hour's exact rows under its (frontier, seal), where no reader sees them yet, and reads them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.reconcile.measure import Cell
from include.reconcile.store import text
from include.reconcile.types import HourPlan, PartitionBalance, ReconcileError, as_utc, epoch, from_epoch
from include.warehouse.sql import read_sql

PIECE = 100_000  # cells that are written at once, more only where one window has more
Written = tuple[int, int]  # windows, cells


def write_cells(client: Client, contract: Contract, plan: HourPlan, cells: Sequence[Cell]) -> Written:
    """Write one hour's cells of all cubes; return windows and cells.

    Raises:
        ReconcileError: the table holds other rows under this seal than were written.
    """
    windows = written = 0
    for cube in contract.cubes:
        own = sorted((cell for cell in cells if cell.cube == cube.name), key=lambda cell: cell.window)
        found = write_cube(client, cube, plan, own)
        windows, written = windows + found[0], written + found[1]
    return windows, written


def write_cube(client: Client, cube: Cube, plan: HourPlan, cells: Iterable[Cell]) -> Written:
    """Write one hour's cells of a cube, which come by window, and compare what is read back, piece by piece.

    Writing again changes nothing. Returns windows and cells.

    Raises:
        ReconcileError: the table holds other rows under this seal than were written.
    """
    windows = written = 0
    begin = plan.hour
    for piece in _pieces(cells):
        client.execute(
            f"INSERT INTO {cube.sealed_table} ({', '.join(_columns(cube))}) VALUES",
            [_row(cube, plan, cell) for cell in piece],
        )
        end = from_epoch(piece[-1].window + cube.pane_seconds)
        _require_equal(client, cube, plan, piece, begin, end)
        begin = end
        windows, written = windows + len({cell.window for cell in piece}), written + len(piece)
    _require_equal(client, cube, plan, [], begin, from_epoch(epoch(plan.hour) + 3600))
    return windows, written


def _pieces(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Cut cells that come by window between windows."""
    piece: list[Cell] = []
    for cell in cells:
        if len(piece) >= PIECE and cell.window != piece[-1].window:
            yield piece
            piece = []
        piece.append(cell)
    if piece:
        yield piece


def _require_equal(
    client: Client, cube: Cube, plan: HourPlan, piece: Sequence[Cell], begin: datetime, end: datetime
) -> None:
    if begin >= end:
        return
    wanted = {(cell.window, cell.dimensions): (cell.once, cell.came) for cell in piece}
    found = sealed_rows(client, cube, plan.frontier, plan.seal, {"from": text(begin), "to": text(end)})
    if found != wanted:
        wrong = sum(found.get(key) != wanted.get(key) for key in found.keys() | wanted.keys())
        raise ReconcileError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H}: {wrong} of {len(wanted)} rows of seal {plan.seal} in "
            f"{cube.sealed_table} read back differently; run reconcile_hour again for this hour"
        )


def _columns(cube: Cube) -> list[str]:
    figures = [name for item in cube.measures for name in (item.name, f"came_{item.name}")]
    return ["window_start", *cube.dimensions, "frontier", "seal", *figures]


def _row(cube: Cube, plan: HourPlan, cell: Cell) -> tuple[Any, ...]:
    figures = [figure for pair in zip(cell.once, cell.came, strict=True) for figure in pair]
    return (from_epoch(cell.window), *stored(cube, cell.dimensions), plan.frontier, plan.seal, *figures)


def stored(cube: Cube, dimensions: Sequence[str | int]) -> list[object]:
    """Return a cell's dimensions as the driver inserts them: moments for columns of times."""
    kinds = cube.dimension_types.values()
    return [
        from_epoch(int(item)) if kind.startswith("DateTime") else item
        for item, kind in zip(dimensions, kinds, strict=True)
    ]


def sealed_rows(
    client: Client, cube: Cube, frontier: int, seal: int, span: dict[str, str]
) -> dict[tuple[int, tuple[str | int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the rows of one seal: (window, dimensions) as cells have them -> (once, as they came)."""
    width = 1 + len(cube.dimensions)
    rows = client.execute(
        read_sql("reconcile/sealed_rows.sql.j2", cube=cube), {**span, "frontier": frontier, "seal": seal}
    )
    return {
        (
            epoch(as_utc(row[0])),
            tuple(epoch(as_utc(item)) if isinstance(item, datetime) else item for item in row[1:width]),
        ): (
            tuple(int(figure) for figure in row[width::2]),
            tuple(int(figure) for figure in row[width + 1 :: 2]),
        )
        for row in rows
    }


def write_balances(client: Client, plan: HourPlan, balances: Sequence[PartitionBalance]) -> None:
    """Write an hour's balance, one row for each partition."""
    rows = [
        (
            *(plan.stream, plan.hour, plan.seal, item.partition, json.dumps(item.ranges), item.offsets),
            *(item.this_hour, item.other_hours, item.rejected, json.dumps(item.rejected_by_reason)),
            *(max(item.non_records, 0), item.ledger_non_records, item.late, item.duplicates),
        )
        for item in balances
    ]
    if rows:
        client.execute("INSERT INTO balances VALUES", rows)
