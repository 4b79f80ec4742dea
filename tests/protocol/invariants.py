"""What must hold: in every state of the tables, for every finished query, and at rest after any crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tests.protocol.actions import of_process
from tests.protocol.reading import (
    chain_faults,
    frontier,
    in_force,
    is_valid,
    once,
    records_of,
    served,
    valid_rows,
)
from tests.protocol.state import (
    PROVED,
    REPAIRED,
    UNPROVABLE,
    Certificate,
    Commit,
    Compactor,
    Driver,
    Offset,
    Process,
    Reader,
    Sealer,
    State,
    Tables,
)
from tests.protocol.world import World

SERVED, CERTIFIED, FALSE_ALARM, LEDGER, FORGOTTEN, READER, AT_REST = (
    "the view is wrong",
    "a certified hour is wrong",
    "a repair without damage",
    "the valid ledger does not chain",
    "the newest driver goes on beyond what counts",
    "a query saw a half",
    "the view is wrong at rest",
)


class Violation(NamedTuple):
    """A broken invariant: which, and what was seen."""

    kind: str
    detail: str


def committed(world: World, rows: tuple[Commit, ...], hour: int) -> dict[Offset, list[Commit]]:
    """Return the batches that count each record of an hour, as the raw log has it."""
    found: dict[Offset, list[Commit]] = {}
    for row in rows:
        for offset in records_of(world, row):
            if world.records[offset].hour == hour:
                found.setdefault(offset, []).append(row)
    return found


def snapshot(world: World, tables: Tables, hour: int) -> Counter[Offset]:
    """Return what a query that reads everything at one moment is served."""
    return served(
        world,
        hour,
        tables.takeovers,
        tables.certificates,
        tables.certificates,
        tables.sealed,
        tables.deltas,
        tables.zeroed,
    )


def of_tables(world: World, tables: Tables) -> Iterator[Violation]:
    """Yield what is wrong with a state of the tables. A damaged one is judged at rest only."""
    if tables.damages:
        return
    rows = valid_rows(world, tables.takeovers, tables.ledger)
    if not world.wrongly_rejected:
        for certificate in tables.certificates:
            if certificate.verdict == REPAIRED:
                yield Violation(FALSE_ALARM, f"{certificate}")
        faults = chain_faults(rows)
        if faults:
            yield Violation(LEDGER, f"{sorted(faults)} in {[row.ranges for row in rows]}")
    for hour in world.hours:
        seal = in_force(world, tables.certificates, hour)
        if not world.wrongly_rejected:
            kind = SERVED if seal is None else CERTIFIED
            for fault in _faults(world, tables, rows, hour, seal):
                yield Violation(kind, f"hour {hour}, certificate {seal}: {fault}")
        if seal is not None and seal.verdict != UNPROVABLE:
            yield from _of_seal(world, tables, rows, seal)


def _faults(
    world: World, tables: Tables, rows: tuple[Commit, ...], hour: int, seal: Certificate | None
) -> Iterator[str]:
    found, wanted = snapshot(world, tables, hour), committed(world, rows, hour)
    ledger = {row.batch for row in tables.ledger}
    in_flight = {
        offset
        for delta in tables.deltas
        if delta.hour == hour
        and delta.batch not in ledger
        and (not world.rules.takeovers_decide or is_valid(world, tables.takeovers, delta.batch))
        for offset in delta.records
    }
    for offset, times in sorted(found.items()):
        if times > 1:
            yield f"{offset} counts {times} times"
        if offset not in wanted and offset not in in_flight:
            yield f"{offset} is served and not committed"
    for offset, batches in sorted(wanted.items()):
        if not found[offset] and not _is_copy(world, offset, batches, seal, found):
            yield f"{offset} is committed and not served"


def _is_copy(
    world: World, offset: Offset, rows: list[Commit], seal: Certificate | None, found: Counter[Offset]
) -> bool:
    """Whether a record is rightly left out: it was sealed, and another with its identity counts."""
    identity = world.records[offset].identity
    sealed = seal is not None and min(row.batch for row in rows) <= seal.frontier
    return sealed and identity is not None and any(world.records[o].identity == identity for o in found)


def _of_seal(
    world: World, tables: Tables, rows: tuple[Commit, ...], seal: Certificate
) -> Iterator[Violation]:
    before = tuple(row for row in rows if row.batch <= seal.frontier)
    truth = once(world, committed(world, before, seal.hour))
    own = [part.once for part in tables.sealed if part.hour == seal.hour and part.rank == seal.rank]
    found = Counter(offset for part in own for offset in part)
    if found != Counter(truth):
        yield Violation(CERTIFIED, f"{seal} has rows {sorted(found.elements())}, the raw log {sorted(truth)}")


def of_driver(world: World, tables: Tables, driver: Driver) -> Iterator[Violation]:
    """Yield where the newest driver, between two batches, takes for done what no valid batch holds."""
    if driver.step != "plan" or driver.generation != tables.claims or tables.damages:
        return
    rows = valid_rows(world, tables.takeovers, tables.ledger)
    counts = frontier(world, rows)
    if counts != driver.frontier:
        detail = f"generation {driver.generation} is at {driver.frontier}, the valid ledger at {counts}"
        yield Violation(FORGOTTEN, detail)


def of_query(world: World, tables: Tables, query: Reader) -> Iterator[Violation]:
    """Yield what is wrong with a finished query: a record twice, or one missing that was committed before it began."""
    if query.step != "finished":
        return
    assert query.certificates is not None
    assert query.certificates_again is not None
    assert query.sealed is not None
    assert query.deltas is not None
    assert query.takeovers is not None
    still_valid = set(valid_rows(world, tables.takeovers, tables.ledger))
    for hour in world.hours:
        found = served(
            world,
            hour,
            query.takeovers,
            query.certificates,
            query.certificates_again,
            query.sealed,
            query.deltas[0],
            query.deltas[1],
        )
        for offset, times in sorted(found.items()):
            if times > 1:
                yield Violation(READER, f"{offset} counted {times} times in hour {hour}")
        rows = tuple(row for row in query.began_rows if row in still_valid)
        for offset in sorted(committed(world, rows, hour)):
            identity = world.records[offset].identity
            copies = identity is not None and any(world.records[o].identity == identity for o in found)
            if not found[offset] and not copies:
                yield Violation(
                    READER, f"{offset} was committed before the query and is missing in hour {hour}"
                )


STRAGGLERS = ("never", "before the seal", "after the seal")


def at_rest(world: World, state: State, stragglers: str = STRAGGLERS[0]) -> Iterator[Violation]:
    """Yield what is wrong once everything stopped, one new driver caught up and every hour was sealed again.

    `stragglers` says whether those that were paused finish what they began, and when.
    """
    version = max(world.drivers)
    calm = replace(world, small_batches=False)
    tables = state.tables._replace(arrived=tuple(len(log) for log in world.log))
    paused = tuple(
        process
        if isinstance(process, Driver | Sealer | Compactor) and _has_begun(process)
        else Reader("ended")
        for process in state.processes
    )
    state = _run(calm, State(tables, (*paused, Driver("claim", version))), len(paused))
    if stragglers == STRAGGLERS[1]:
        state = _run_all(calm, state, len(paused))
    for hour in calm.hours * (2 if tables.damages else 1):
        state = State(state.tables, (*state.processes, Sealer("draw", hour)))
        state = _run(calm, state, len(state.processes) - 1)
    if stragglers == STRAGGLERS[2]:
        state = _run_all(calm, state, len(paused))
    for fault in _faults_at_rest(world, state.tables):
        yield Violation(AT_REST, f"stragglers {stragglers}: {fault}")


def _has_begun(process: Process) -> bool:
    return process.step not in ("claim", "draw", "begin", "ended")


def _run(world: World, state: State, index: int) -> State:
    for _ in range(200):
        follows = next(of_process(world, state, index), None)
        if follows is None:
            return state
        state = follows[1]
    raise AssertionError(f"process {index} does not end: {state.processes[index]}")


def _run_all(world: World, state: State, count: int) -> State:
    for index in range(count):
        state = _run(world, state, index)
    return state


def _faults_at_rest(world: World, tables: Tables) -> Iterator[str]:
    rows = valid_rows(world, tables.takeovers, tables.ledger)
    expired = any(tables.log_start)
    for offset in world.records:
        times = sum(
            item.partition == offset[0] and item.start <= offset[1] < item.end
            for row in rows
            for item in row.ranges
        )
        if times != 1 and offset[1] >= tables.log_start[offset[0]]:
            yield f"{offset} is in {times} committed ranges"
    for hour in world.hours:
        seal = in_force(world, tables.certificates, hour)
        if expired or (seal is not None and seal.verdict == UNPROVABLE):
            yield from _faults(world, tables, rows, hour, seal)
            lost = any(item.lost_to > item.start for row in rows for item in row.ranges)
            if lost and seal is not None and seal.verdict == PROVED and rows[-1].batch <= seal.frontier:
                yield f"hour {hour} is PROVED over a lost range"
            continue
        truth, found = once(world, committed(world, rows, hour)), snapshot(world, tables, hour)
        if seal is None:
            yield f"hour {hour} could not be certified"
        if found != Counter(truth):
            yield f"hour {hour} serves {sorted(found.elements())}, the raw log holds {sorted(truth)}"
    newest = max(world.drivers)
    for offset in sorted(tables.approved):
        times = sum(offset in records_of(world, row) for row in rows)
        if world.accepts(newest, offset) and world.rules.driver_replays and times != 1:
            yield f"approved {offset} counts {times} times"
