"""What the tables say: which batches count, where the frontier is, what is in force, what a reader is served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.protocol.state import UNPROVABLE, Batch, Certificate, Commit, Delta, Offset, Sealed, Takeover
from tests.protocol.world import World


def limits(world: World, takeovers: frozenset[Takeover]) -> tuple[int, dict[int, int]]:
    """Return the highest generation that took over, and the highest number that counts of each earlier one."""
    if not takeovers:
        return 0, {}
    highest = max(takeovers)
    if world.rules.highest_takeover_decides:
        return highest.generation, dict(highest.keep)
    lowest: dict[int, int] = {}
    for generation in {g for takeover in takeovers for g, _ in takeover.keep}:
        lowest[generation] = min(
            dict(takeover.keep).get(generation, 0)
            for takeover in takeovers
            if takeover.generation > generation
        )
    return highest.generation, lowest


def is_valid(world: World, takeovers: frozenset[Takeover], batch: Batch) -> bool:
    """Whether a batch counts."""
    if not world.rules.takeovers_decide:
        return True
    highest, keep = limits(world, takeovers)
    generation, number = batch
    return generation == highest > 0 or (generation < highest and number <= keep.get(generation, 0))


def valid_rows(world: World, takeovers: frozenset[Takeover], ledger: Iterable[Commit]) -> tuple[Commit, ...]:
    """Return the committed batches that count, in order."""
    return tuple(sorted(row for row in ledger if is_valid(world, takeovers, row.batch)))


def frontier(world: World, rows: Iterable[Commit]) -> tuple[int, ...]:
    """Return where each partition goes on."""
    ends = [0] * len(world.log)
    for item in sorted(item for row in rows for item in row.ranges):
        if world.rules.frontier_is_highest_end or item.start <= ends[item.partition]:
            ends[item.partition] = max(ends[item.partition], item.end)
    return tuple(ends)


def chain_faults(rows: Iterable[Commit]) -> set[str]:
    """Return whether the rows leave a hole or overlap in some partition."""
    faults = set()
    ends: dict[int, int] = {}
    for item in sorted(item for row in rows for item in row.ranges if item.end > item.start):
        end = ends.get(item.partition, 0)
        if item.start != end:
            faults.add("hole" if item.start > end else "overlap")
        ends[item.partition] = max(end, item.end)
    return faults


def records_of(world: World, row: Commit) -> list[Offset]:
    """Return the accepted records of a batch as the raw log has them, replayed ones included."""
    read = [
        (item.partition, offset)
        for item in row.ranges
        for offset in range(max(item.start, item.lost_to), item.end)
    ]
    return [offset for offset in read if world.accepts(row.version, offset)] + sorted(row.replayed)


def once(world: World, offsets: Iterable[Offset]) -> frozenset[Offset]:
    """Return one record for each identity: the earliest arrival, then the lowest offset."""
    kept: set[Offset] = set()
    seen: set[str] = set()
    for offset in sorted(offsets, key=lambda o: (world.records[o].arrival, o)):
        identity = world.records[offset].identity
        if identity is None or identity not in seen:
            kept.add(offset)
        if identity is not None:
            seen.add(identity)
    return frozenset(kept)


def in_force(world: World, certificates: Iterable[Certificate], hour: int) -> Certificate | None:
    """Return the certificate that readers of an hour follow."""
    own = [certificate for certificate in certificates if certificate.hour == hour]
    if not own:
        return None
    if world.rules.frontier_ranks_first:
        return max(own, key=lambda certificate: certificate.rank)
    return max(own, key=lambda certificate: (certificate.seal, certificate.frontier))


def served(
    world: World,
    hour: int,
    takeovers: frozenset[Takeover],
    certificates_for_sealed: frozenset[Certificate],
    certificates_for_deltas: frozenset[Certificate],
    sealed: Iterable[Sealed],
    deltas: Iterable[Delta],
    zeroed: frozenset[tuple[Batch, int]],
) -> Counter[Offset]:
    """Return how often each record counts in an hour of the view: the seal in force plus valid later deltas."""
    found: Counter[Offset] = Counter()
    seal = in_force(world, certificates_for_sealed, hour)
    if seal is not None and seal.verdict != UNPROVABLE:
        for part in sealed:
            if part.hour == hour and part.rank == seal.rank:
                found.update(part.once)
    after = in_force(world, certificates_for_deltas, hour)
    for delta in deltas:
        if (
            delta.hour == hour
            and (after is None or delta.batch > after.frontier)
            and (delta.batch, hour) not in zeroed
            and is_valid(world, takeovers, delta.batch)
        ):
            found.update(delta.records)
    return found
