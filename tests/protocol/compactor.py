"""The compaction: drops superseded seals, then deltas that a seal in force includes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.reading import in_force
from tests.protocol.state import Compactor, Process, Reader, Tables
from tests.protocol.world import World

Step = tuple[str, Tables, Compactor]


def steps(world: World, tables: Tables, me: Compactor, others: tuple[Process, ...]) -> Iterator[Step]:
    """Yield what the compaction does next; nothing while its certificates are younger than the grace."""
    rules = world.rules
    if me.step == "begin" and tables.certificates:
        yield "reads certificates", tables, Compactor("seals", tables.certificates)
        return
    if me.step not in ("seals", "deltas"):
        return
    if rules.grace_before_compaction and any(
        isinstance(p, Reader) and p.step == "read" and not me.certificates <= p.began_certificates
        for p in others
    ):
        return
    force = {hour: in_force(world, me.certificates, hour) for hour in world.hours}
    if me.step == "seals":
        kept = frozenset(
            row
            for row in tables.sealed
            if (seal := force[row.hour]) is None
            or row.rank == seal.rank
            or (rules.compaction_drops_only_below and row.rank > seal.rank)
        )
        yield "drops superseded seals", tables._replace(sealed=kept), me._replace(step="deltas")
    else:
        left = frozenset(
            delta
            for delta in tables.deltas
            if (seal := force[delta.hour]) is None or delta.batch > seal.frontier
        )
        yield "drops sealed deltas", tables._replace(deltas=left), Compactor("ended")
