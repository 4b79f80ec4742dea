"""Damage to whole batches: lost, doubled, or written by a driver that has been taken over."""

from __future__ import annotations

from dataclasses import replace

from include.contracts import Cube
from include.reconcile.inject.free import free_batch
from include.reconcile.inject.order import Injection, Order, TooFewRowsError
from include.reconcile.inject.remove import BY_BATCH, remove
from include.reconcile.inject.served import delta_rows, in_force
from include.streaming.ledger import GENERATION_BITS, CommitState, insert_ledger_rows
from include.warehouse.sql import read_sql


def lose_batch(order: Order) -> Injection:
    """Remove every delta of `size` batches, in all cubes and hours that they reach."""
    chosen = _choose(order)
    for batch in chosen:
        for cube in order.contract.cubes:
            remove(order.client, cube.delta_table, BY_BATCH, {"batch": batch})
    return _account(order, "lost_batch", chosen)


def double_batch(order: Order) -> Injection:
    """Write the deltas of a batch again under a valid id that no batch has, `size` times."""
    state = order.ledger()
    certified = in_force(order)
    (chosen,) = _choose(replace(order, size=1))
    above = certified[0] if certified else 0
    copies = []
    for _ in range(order.size):
        copies.append(free_batch(order, state, above))
        above = copies[-1]
        for cube in order.contract.cubes:
            _copy(order, cube, chosen, copies[-1])
    return _account(order, "doubled_batch", copies)


def write_as_stale_driver(order: Order) -> Injection:
    """Let a driver of an earlier generation write and commit `size` batches above what its takeover kept."""
    state = order.ledger()
    chosen = _choose(replace(order, size=1))[0]
    batch = _first_void(state)
    written = list(range(batch, batch + order.size))
    for stale in written:
        for cube in order.contract.cubes:
            _copy(order, cube, chosen, stale)
        insert_ledger_rows(
            order.client, [replace(row, batch=stale) for row in state.rows if row.batch == chosen]
        )
    return _account(order, "stale_driver", written)


def _choose(order: Order) -> list[int]:
    """Return `size` batches that serve deltas of the hour."""
    held = {row["batch"] for cube in order.contract.cubes for row in delta_rows(order, cube).rows}
    if len(held) < order.size:
        tables = ", ".join(cube.delta_table for cube in order.contract.cubes)
        raise TooFewRowsError(tables, f"{order.where}, batches after its certificate", len(held), order.size)
    return sorted(order.chance.sample(sorted(held), order.size))


def _first_void(state: CommitState) -> int:
    """Return the first id of an earlier generation that the takeovers did not keep."""
    kept = [upto for generation, upto in state.keep.items() if generation < state.generation]
    return max(kept, default=(state.generation - 1) << GENERATION_BITS) + 1


def _copy(order: Order, cube: Cube, batch: int, copy: int) -> None:
    columns = ["window_start", *cube.dimensions, *(measure.name for measure in cube.measures)]
    statement = read_sql("inject/copy_batch.sql.j2", cube=cube, columns=columns)
    order.client.execute(statement, {"batch": batch, "copy": copy})


def _account(order: Order, kind: str, batches: list[int]) -> Injection:
    tables = ", ".join(cube.delta_table for cube in order.contract.cubes)
    return order.done(kind, tables, order.where, [f"batch={batch}" for batch in batches], {})
