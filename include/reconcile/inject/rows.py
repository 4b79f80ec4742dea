"""Damage to single served rows: lost, doubled, altered, moved to another window."""

from __future__ import annotations

from include.contracts import Cube, Measure
from include.reconcile.inject.free import free_batch
from include.reconcile.inject.order import HOUR_SECONDS, Injection, Order
from include.reconcile.inject.remove import keyed, remove
from include.reconcile.inject.served import Row, Served, as_numbers, in_force, sample, served, write

ADDITIVE = ("count", "sum", "sumsq")
LARGEST_ALTERATION = 1_000_000
BEYOND_OTHERS = 2**45  # no other batch's minimum or maximum hides what differs by that much


def lose_rows(order: Order) -> Injection:
    """Remove served rows."""
    found = served(order)
    lost = sample(order, found)
    _remove(order, found, lost)
    return _account(order, "lost_row", found, lost)


def double_rows(order: Order) -> Injection:
    """Serve rows twice: with doubled figures where the hour is sealed, else under a further valid batch."""
    found = served(order)
    chosen = sample(order, found)
    if found.sealed:
        doubled = [{**row, **{name: 2 * row[name] for name in _additive(found)}} for row in chosen]
    else:
        certified = in_force(order)
        batch = free_batch(order, order.ledger(), above=certified[0] if certified else 0)
        doubled = [{**row, "batch": batch} for row in chosen]
    write(order, found.table, list(doubled))
    return _account(order, "doubled_row", found, chosen)


def alter_figures(order: Order) -> Injection:
    """Change one figure of each chosen row: a sum or a maximum grows, a minimum shrinks."""
    found = served(order)
    measure = _alterable(order, found.cube)
    chosen = sample(order, found)
    altered: list[Row] = []
    for row in chosen:
        more = order.chance.randint(1, LARGEST_ALTERATION) + (
            0 if measure.kind in ADDITIVE else BEYOND_OTHERS
        )
        more = -more if measure.kind == "min" else more
        names = [name for name in (measure.name, f"came_{measure.name}") if name in row]
        altered.append({**row, **{name: row[name] + more for name in names}})
    _remove(order, found, chosen)
    write(order, found.table, altered)
    return _account(order, "altered_figure", found, altered)


def move_rows(order: Order) -> Injection:
    """Move rows to another window of their hour in which no row has their key."""
    found = served(order, longest_pane=HOUR_SECONDS // 2)
    chosen = sample(order, found)
    held = {found.key(row) for row in found.rows}
    moved: list[Row] = []
    begin, pane = order.bounds["begin"], found.cube.pane_seconds
    for row in chosen:
        windows = [
            start
            for start in range(begin, begin + HOUR_SECONDS, pane)
            if found.key({**row, "window_start": start}) not in held
        ]
        if windows:
            moved.append({**row, "window_start": order.chance.choice(windows)})
            held.add(found.key(moved[-1]))
        else:
            moved.append(row)
    _remove(order, found, chosen)
    write(order, found.table, moved)
    return _account(order, "wrong_window", found, moved)


def _remove(order: Order, found: Served, rows: list[Row]) -> None:
    values = {**order.bounds, "keys": tuple(found.key(row) for row in rows)}
    remove(order.client, found.table, keyed(as_numbers(found.cube, found.keys)), values)


def _additive(found: Served) -> list[str]:
    names = [measure.name for measure in found.cube.measures if measure.kind in ADDITIVE]
    return [*names, *(f"came_{name}" for name in names)]


def _alterable(order: Order, cube: Cube) -> Measure:
    """Return a measure that is not a count, where there is one: a changed count reads like lost or doubled rows."""
    return order.chance.choice([m for m in cube.measures if m.kind != "count"] or list(cube.measures))


def _account(order: Order, kind: str, found: Served, rows: list[Row]) -> Injection:
    touched = [found.describe(row) for row in rows]
    return order.done(kind, found.table, found.where, touched, found.figures(rows))
