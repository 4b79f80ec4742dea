"""Writes an hour's exact rows under its (frontier, seal), where no reader sees them yet, and reads them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.reconcile.measure import Cell
from include.reconcile.store import bounds
from include.reconcile.types import HourPlan, PartitionBalance, ReconcileError, as_utc, epoch, from_epoch
from include.warehouse.sql import read_sql


def write_cells(client: Client, contract: Contract, plan: HourPlan, cells: Sequence[Cell]) -> None:
    """Write one hour's cells and compare what is read back; writing again changes nothing.

    Raises:
        ReconcileError: the table holds other rows under this seal than were written.
    """
    for cube in contract.cubes:
        own = [cell for cell in cells if cell.cube == cube.name]
        if own:
            client.execute(
                f"INSERT INTO {cube.sealed_table} ({', '.join(_columns(cube))}) VALUES",
                [_row(plan, cell) for cell in own],
            )
        wanted = {(cell.window, cell.dimensions): (cell.once, cell.came) for cell in own}
        found = _read_back(client, cube, plan)
        if found != wanted:
            wrong = sum(found.get(key) != wanted.get(key) for key in found.keys() | wanted.keys())
            raise ReconcileError(
                f"{plan.stream} {plan.hour:%Y-%m-%dT%H}: {wrong} of {len(wanted)} rows of seal {plan.seal} in "
                f"{cube.sealed_table} read back differently; run reconcile_hour again for this hour"
            )


def _columns(cube: Cube) -> list[str]:
    figures = [name for item in cube.measures for name in (item.name, f"came_{item.name}")]
    return ["window_start", *cube.dimensions, "frontier", "seal", *figures]


def _row(plan: HourPlan, cell: Cell) -> tuple[Any, ...]:
    figures = [figure for pair in zip(cell.once, cell.came, strict=True) for figure in pair]
    return (from_epoch(cell.window), *cell.dimensions, plan.frontier, plan.seal, *figures)


def _read_back(client: Client, cube: Cube, plan: HourPlan) -> dict[Any, Any]:
    width = 1 + len(cube.dimensions)
    rows = client.execute(
        read_sql("reconcile/sealed_rows.sql.j2", cube=cube),
        {**bounds(plan.hour), "frontier": plan.frontier, "seal": plan.seal},
    )
    return {
        (epoch(as_utc(row[0])), tuple(row[1:width])): (
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
