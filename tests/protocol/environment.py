"""What happens to the platform: records arrive and expire, a person approves dead letters, rows get lost."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.state import Step, Tables
from tests.protocol.world import LOST_DELTA, LOST_LEDGER_ROW, World


def steps(world: World, tables: Tables) -> Iterator[tuple[Step, Tables]]:
    """Yield everything that may happen to the tables from outside."""
    for partition in world.partitions:
        if tables.arrived[partition] < len(world.log[partition]):
            offset = tables.arrived[partition]
            yield (
                Step(f"producer {partition}", f"sends record {offset}"),
                tables._replace(arrived=_replaced(tables.arrived, partition, offset + 1)),
            )
    for partition, upto in world.expiries:
        if tables.log_start[partition] < upto <= tables.arrived[partition]:
            yield (
                Step(f"retention {partition}", f"removes offsets below {upto}"),
                tables._replace(log_start=_replaced(tables.log_start, partition, upto)),
            )
    if world.approvals:
        letters = frozenset(letter.record for letter in tables.dead)
        if not letters <= tables.approved:
            approved = tables.approved | letters
            yield Step("person", f"approves {sorted(letters)}"), tables._replace(approved=approved)
    if world.damages and not tables.damages:
        yield from _damages(world, tables)


def _replaced(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _damages(world: World, tables: Tables) -> Iterator[tuple[Step, Tables]]:
    committed = {row.batch for row in tables.ledger}
    if LOST_DELTA in world.damages:
        for delta in sorted(tables.deltas, key=lambda delta: (delta.batch, delta.hour)):
            if delta.batch in committed:
                yield (
                    Step("fault", f"loses deltas of batch {delta.batch}"),
                    tables._replace(deltas=tables.deltas - {delta}, damages=1),
                )
    if LOST_LEDGER_ROW in world.damages:
        for row in sorted(tables.ledger):
            yield (
                Step("fault", f"loses ledger rows of batch {row.batch}"),
                tables._replace(ledger=tables.ledger - {row}, damages=1),
            )
