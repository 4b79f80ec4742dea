"""A query of the served view, which reads its tables one after the other, in any order."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.reading import valid_rows
from tests.protocol.state import Reader, Tables
from tests.protocol.world import World

Step = tuple[str, Tables, Reader]


def steps(world: World, tables: Tables, me: Reader) -> Iterator[Step]:
    """Yield what a query may do next; once it holds all tables it is finished."""
    if me.step == "begin" and tables.ledger:
        began = me._replace(
            step="read",
            began_sealed=tables.sealed,
            began_certificates=tables.certificates,
            began_rows=valid_rows(world, tables.takeovers, tables.ledger),
        )
        yield "begins a query", tables, began
    elif me.step == "read":
        for name, after in _reads(world, tables, me):
            complete = None not in after[4:]
            yield f"reads {name}", tables, after._replace(step="finished") if complete else after
    elif me.step == "finished":
        yield "ends its query", tables, Reader("ended")


def _reads(world: World, tables: Tables, me: Reader) -> Iterator[tuple[str, Reader]]:
    if me.certificates is None:
        found = me._replace(certificates=tables.certificates)
        if world.rules.certificates_are_read_once:
            found = found._replace(certificates_again=tables.certificates)
        yield "certificates", found
    if me.certificates_again is None and not world.rules.certificates_are_read_once:
        yield "certificates for the deltas", me._replace(certificates_again=tables.certificates)
    if me.sealed is None:
        yield "sealed rows", me._replace(sealed=tables.sealed)
    if me.deltas is None:
        yield "deltas", me._replace(deltas=(tables.deltas, tables.zeroed))
    if me.takeovers is None:
        yield "takeover rows", me._replace(takeovers=tables.takeovers)
