"""The sealer's steps: draw, read, check the claim, recount, write, compare, wait, verify, certify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.protocol.driver import rows_of
from tests.protocol.reading import chain_faults, frontier, in_force, is_valid, once, records_of, valid_rows
from tests.protocol.state import (
    PROVED,
    REPAIRED,
    UNPROVABLE,
    Batch,
    Certificate,
    Commit,
    Delta,
    Offset,
    Process,
    Range,
    Reader,
    Sealed,
    Sealer,
    Tables,
)
from tests.protocol.world import World

Step = tuple[str, Tables, Sealer]


def steps(world: World, tables: Tables, me: Sealer, others: tuple[Process, ...]) -> Iterator[Step]:
    """Yield what a sealer does next, with the tables and itself afterwards; nothing while it has to wait."""
    rules = world.rules
    if me.step == "draw":
        yield _draw(world, tables, me)
    elif me.step == "read":
        if rules.takeovers_are_read_first:
            yield "reads takeover rows", tables, me._replace(step="read on", seen_takeovers=tables.takeovers)
        else:
            yield "reads the ledger", tables, me._replace(step="read on", seen_ledger=tables.ledger)
    elif me.step == "read on":
        yield _read(world, tables, me)
    elif me.step == "base":
        yield _base(world, tables, me)
    elif me.step == "claim":
        claimed = tables.claims if rules.claim_is_read_last else me.claim
        if rules.takeovers_decide and claimed != me.generation:
            yield _ends(tables, me, "OPEN, a takeover is under way")
        else:
            yield "finds no later claim", tables, me._replace(step="recount")
    elif me.step == "recount":
        yield _recount(world, tables, me)
    elif me.step == "compare":
        yield _compare(world, tables, me)
    elif me.step in ("write 0", "write 1"):
        yield _write(world, tables, me)
    elif me.step == "verify":
        if not rules.grace_before_certificate or not _is_awaited(me, tables, others):
            yield _verify(world, tables, me)
    elif me.step == "certify":
        found = Certificate(me.hour, me.frontier, me.seal, me.verdict)
        yield (
            f"certifies seal {me.seal} at {me.frontier}: {me.verdict}",
            tables._replace(certificates=tables.certificates | {found}),
            _ended(me),
        )


def _ended(me: Sealer) -> Sealer:
    return Sealer("ended", me.hour)


def _ends(tables: Tables, me: Sealer, why: str) -> Step:
    return f"ends: {why}", tables, _ended(me)


def _draw(world: World, tables: Tables, me: Sealer) -> Step:
    after = me._replace(step="read", claim=0 if world.rules.claim_is_read_last else tables.claims)
    if not world.rules.seal_numbers_are_unique:
        return "looks at the control topic", tables, after
    seal = tables.seals + 1
    return f"draws seal {seal}", tables._replace(seals=seal), after._replace(seal=seal)


def _read(world: World, tables: Tables, me: Sealer) -> Step:
    if world.rules.takeovers_are_read_first:
        takeovers, ledger, what = me.seen_takeovers, tables.ledger, "the ledger"
    else:
        takeovers, ledger, what = tables.takeovers, me.seen_ledger, "takeover rows"
    rows = valid_rows(world, takeovers, ledger)
    if not rows:
        return _ends(tables, me, "nothing is committed")
    generation = max((row.generation for row in takeovers), default=0)
    seal = me.seal
    if not world.rules.seal_numbers_are_unique:
        drawn = [part.seal for part in tables.sealed if part.hour == me.hour]
        drawn += [certificate.seal for certificate in tables.certificates if certificate.hour == me.hour]
        seal = max(drawn, default=0) + 1
    highest: Batch = max(row.batch for row in rows)
    reached = max(highest, (generation, 0))
    after = me._replace(
        step="base",
        seen_takeovers=takeovers,
        seen_ledger=frozenset(),
        rows=rows,
        generation=generation,
        frontier=reached,
        seal=seal,
    )
    return (
        f"reads {what}: batches {[row.batch for row in rows]}, frontier {reached}, seal {seal}",
        tables,
        after,
    )


def _base(world: World, tables: Tables, me: Sealer) -> Step:
    base = in_force(world, tables.certificates, me.hour)
    if world.rules.base_not_beyond_frontier and base is not None and base.frontier > me.frontier:
        return _ends(tables, me, "a later ledger is already certified")
    name = f"reads the certificate in force: {base.rank if base else None}"
    return name, tables, me._replace(step="claim", base=base)


def _recount(world: World, tables: Tables, me: Sealer) -> Step:
    if not _is_closed(world, tables, me):
        return _ends(tables, me, "OPEN, the hour is not closed")
    faults = chain_faults(me.rows)
    if faults == {"hole"}:
        filled = _fill(me.rows, world)
        name = f"rebuilds ledger rows {[row.batch for row in filled]} and starts over"
        return name, tables._replace(ledger=tables.ledger | set(filled)), Sealer("draw", me.hour)
    needed = _needed(world, me)
    lost = any(item.lost_to > item.start for row in me.rows for item in row.ranges)
    expired = any(tables.log_start[item.partition] > max(item.start, item.lost_to) for _, item in needed)
    if lost or expired:
        if world.rules.verdicts_are_apart:
            return _ends(tables, me, UNPROVABLE)
        unprovable = Certificate(me.hour, me.frontier, me.seal, UNPROVABLE)
        certified = tables._replace(certificates=tables.certificates | {unprovable})
        return "certifies UNPROVABLE", certified, _ended(me)
    counted = {offset for row in me.rows for offset in row.replayed if world.records[offset].hour == me.hour}
    sound = not faults
    for row, item in needed:
        read = records_of(world, row._replace(ranges=(item,), replayed=frozenset()))
        counted |= {offset for offset in read if world.records[offset].hour == me.hour}
        sound = sound and not world.wrongly_rejected.intersection(read)
    name = f"recounts {sorted(counted)}" + ("" if sound else ", which the ledger does not bear out")
    return name, tables, me._replace(step="write 0", rows=(), counted=frozenset(counted), sound=sound)


def _is_closed(world: World, tables: Tables, me: Sealer) -> bool:
    """Whether each partition was folded up to its first record that arrived after the hour."""
    ends = frontier(world, me.rows)
    return all(
        ends[p]
        >= next(
            (o for o in range(tables.arrived[p]) if world.records[p, o].arrival > me.hour), tables.arrived[p]
        )
        for p in world.partitions
    )


def _needed(world: World, me: Sealer) -> list[tuple[Commit, Range]]:
    """Return the ranges whose ledger rows list the hour, or that hold its Kafka timestamps."""
    found = []
    for row in me.rows:
        for item in row.ranges:
            emitted = rows_of(world, row._replace(ranges=(item,), replayed=frozenset()))
            hours = {delta.hour for delta in emitted if isinstance(delta, Delta)}
            if world.rules.ranges_by_kafka_time:
                read = range(max(item.start, item.lost_to), item.end)
                hours |= {world.records[item.partition, offset].arrival for offset in read}
            if me.hour in hours:
                found.append((row, item))
    return found


def _fill(rows: tuple[Commit, ...], world: World) -> list[Commit]:
    """Return ledger rows under the missing batch ids; the first of them takes all missing ranges."""
    have = {row.batch for row in rows}
    last = {generation: max(b[1] for b in have if b[0] == generation) for generation, _ in have}
    missing = sorted((g, n) for g in last for n in range(1, last[g]) if (g, n) not in have)
    ends = [0] * len(world.log)
    holes = []
    for item in sorted(item for row in rows for item in row.ranges if item.end > item.start):
        if item.start > ends[item.partition]:
            holes.append(Range(item.partition, ends[item.partition], item.start, ends[item.partition]))
        ends[item.partition] = max(ends[item.partition], item.end)
    version = min(row.version for row in rows)
    first, *rest = missing or [(min(last), 0)]
    return [Commit(first, tuple(holes), version), *(Commit(batch, (), version) for batch in rest)]


def _compare(world: World, tables: Tables, me: Sealer) -> Step:
    """Hold the recount against the base's figures as they came plus the valid deltas up to the frontier."""
    after = me.base.frontier if me.base else (0, 0)
    kept: Counter[Offset] = Counter()
    for part in tables.sealed if me.base else ():
        if part.hour == me.hour and me.base is not None and part.rank == me.base.rank:
            kept.update(part.came)
    if not world.rules.came_figures_are_kept:
        kept, after = Counter(), (0, 0)
    for delta in tables.deltas:
        if (
            delta.hour == me.hour
            and after < delta.batch <= me.frontier
            and (delta.batch, delta.hour) not in tables.zeroed
            and is_valid(world, me.seen_takeovers, delta.batch)
        ):
            kept.update(delta.records)
    verdict = PROVED if me.sound and kept == Counter(me.counted) else REPAIRED
    return (
        f"compares: {verdict}",
        tables,
        me._replace(step="verify", verdict=verdict, seen_takeovers=frozenset()),
    )


def _rows_to_write(world: World, me: Sealer, part: int) -> Sealed:
    exact = once(world, me.counted)
    own = [frozenset(o for o in found if world.records[o].part == part) for found in (exact, me.counted)]
    return Sealed(me.hour, me.frontier, me.seal, part, own[0], own[1])


def _write(world: World, tables: Tables, me: Sealer) -> Step:
    part = int(me.step[-1])
    row = _rows_to_write(world, me, part)
    others = (old for old in tables.sealed if not _is_same_row(world, old, row))
    name = f"writes part {part} of seal {me.seal} at {me.frontier}"
    after = me._replace(step="write 1" if part == 0 else "compare")
    return name, tables._replace(sealed=frozenset(others) | {row}), after


def _is_same_row(world: World, old: Sealed, new: Sealed) -> bool:
    """Whether a row replaces another; where seal numbers are not unique, the number alone names a seal."""
    if world.rules.seal_numbers_are_unique:
        return old[:4] == new[:4]
    return (old.hour, old.seal, old.part) == (new.hour, new.seal, new.part)


def _is_awaited(me: Sealer, tables: Tables, others: tuple[Process, ...]) -> bool:
    """Whether a query runs that began before this seal's rows were complete."""
    mine = {row for row in tables.sealed if row.hour == me.hour and row.rank == (me.frontier, me.seal)}
    return any(isinstance(p, Reader) and p.step == "read" and not mine <= p.began_sealed for p in others)


def _verify(world: World, tables: Tables, me: Sealer) -> Step:
    wanted = {_rows_to_write(world, me, part) for part in (0, 1)}
    found = {row for row in tables.sealed if row.hour == me.hour and row.rank == (me.frontier, me.seal)}
    if found != wanted:
        return _ends(tables, me, "its rows read back differently")
    if in_force(world, tables.certificates, me.hour) != me.base:
        return _ends(tables, me, "another certificate came meanwhile")
    return "reads its rows back and finds the same base", tables, me._replace(step="certify")
