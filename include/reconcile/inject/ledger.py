"""Damage to the ledger: a row that goes, a row that repeats."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC

from include.reconcile.inject.free import free_batch
from include.reconcile.inject.order import Injection, Order, TooFewRowsError
from include.reconcile.inject.remove import BY_LEDGER_KEY, remove
from include.streaming.ledger import LedgerRow, insert_ledger_rows


def open_gap(order: Order) -> Injection:
    """Remove `size` ledger rows that list the hour and stand between others of their partition.

    Without its last rows a partition only seems to be behind, and without its first it seems to begin later.
    """
    chosen = _choose(order, between=True)
    for row in chosen:
        key = {"stream": row.stream, "batch": row.batch, "partition": row.partition}
        remove(order.client, "ledger", BY_LEDGER_KEY, key)
    return _account(order, "ledger_gap", chosen)


def overlap(order: Order) -> Injection:
    """Write `size` further valid rows, each repeating the first half of a row's offsets."""
    written = []
    for row in _choose(order, between=False):
        end = row.start_offset + max(1, (row.end_offset - row.start_offset) // 2)
        written.append(replace(row, batch=free_batch(order, order.ledger()), end_offset=end))
        insert_ledger_rows(order.client, written[-1:])
    return _account(order, "ledger_overlap", written)


def _choose(order: Order, between: bool) -> list[LedgerRow]:
    rows = [row for row in order.ledger().rows if row.end_offset > row.start_offset]
    ends, starts = Counter[int](), dict[int, int]()
    for row in rows:
        ends[row.partition] = max(ends[row.partition], row.end_offset)
        starts[row.partition] = min(starts.get(row.partition, row.start_offset), row.start_offset)
    held = [row for row in rows if order.hour in [hour.replace(tzinfo=UTC) for hour in row.hours]]
    if between:
        held = [r for r in held if starts[r.partition] < r.start_offset and r.end_offset < ends[r.partition]]
    if len(held) < order.size:
        raise TooFewRowsError("ledger", f"{order.where}, rows between others", len(held), order.size)
    return order.chance.sample(held, order.size)


def _account(order: Order, kind: str, rows: list[LedgerRow]) -> Injection:
    touched = [f"partition={r.partition} batch={r.batch} {r.start_offset} to {r.end_offset}" for r in rows]
    figures = {"offsets": sum(row.end_offset - row.start_offset for row in rows)}
    return order.done(kind, "ledger", order.where, touched, figures)
