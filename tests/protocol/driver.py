"""The streaming driver's steps: claim, read, take over, then fold and commit batch after batch.

An insert whose answer is lost has been done or not. One that is done later still, beside the query that came after, is
what a driver does that was paused before it, while another took over.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.reading import frontier, valid_rows
from tests.protocol.state import (
    Batch,
    Commit,
    DeadLetter,
    Delta,
    Driver,
    Offset,
    Range,
    Replayer,
    Tables,
    Takeover,
)
from tests.protocol.world import World

Step = tuple[str, Tables, Driver]
IN_VAIN, UNANSWERED = "in vain", "and has no answer"


def steps(world: World, tables: Tables, me: Driver) -> Iterator[Step]:
    """Yield each thing that a driver may do next, with the tables and itself afterwards."""
    rules = world.rules
    if me.step == "claim":
        generation = tables.claims + 1
        yield (
            f"claims generation {generation}",
            tables._replace(claims=generation),
            me._replace(step="read", generation=generation),
        )
    elif me.step == "read":
        if rules.takeovers_are_read_first:
            yield "reads takeover rows", tables, me._replace(step="read on", seen_takeovers=tables.takeovers)
        else:
            yield "reads the ledger", tables, me._replace(step="read on", seen_ledger=tables.ledger)
    elif me.step == "read on":
        yield _position(world, tables, me)
    elif me.step == "take over":
        row = Takeover(me.generation, me.keep)
        yield (
            f"writes the takeover row, keeping {dict(me.keep)}",
            tables._replace(takeovers=tables.takeovers | {row}),
            me._replace(step="plan", keep=()),
        )
    elif me.step == "sweep":
        committed = {row.batch for row in tables.ledger}
        swept = {(delta.batch, delta.hour) for delta in tables.deltas if delta.batch not in committed}
        yield (
            f"sweeps {sorted(swept)}",
            tables._replace(zeroed=tables.zeroed | swept),
            me._replace(step="plan"),
        )
    elif me.step == "plan":
        yield from _plan(world, tables, me)
    elif me.step == "fold":
        yield _fold(world, tables, me)
    elif me.step == "write":
        yield from _write(world, tables, me)


def _position(world: World, tables: Tables, me: Driver) -> Step:
    if world.rules.takeovers_are_read_first:
        takeovers, ledger, what = me.seen_takeovers, tables.ledger, "the ledger"
    else:
        takeovers, ledger, what = tables.takeovers, me.seen_ledger, "takeover rows"
    known = max(
        [row.batch[0] for row in tables.ledger] + [row.generation for row in tables.takeovers], default=0
    )
    me = me._replace(seen_takeovers=frozenset(), seen_ledger=frozenset())
    if world.rules.takeovers_decide and known >= me.generation:
        return f"reads {what}, finds generation {known} and refuses", tables, me._replace(step="ended")
    rows = valid_rows(world, takeovers, ledger)
    keep: dict[int, int] = {}
    for row in rows:
        keep[row.batch[0]] = max(keep.get(row.batch[0], 0), row.batch[1])
    follows = (
        "take over" if world.rules.takeovers_decide else "plan" if world.rules.nothing_is_swept else "sweep"
    )
    ends = frontier(world, rows)
    after = me._replace(
        step=follows, frontier=ends, keep=tuple(sorted(keep.items())) if follows == "take over" else ()
    )
    return f"reads {what}: goes on at {list(ends)}", tables, after


def _plan(world: World, tables: Tables, me: Driver) -> Iterator[Step]:
    if tables.claims != me.generation:
        yield "is fenced", tables, me._replace(step="ended", frontier=())
        return
    batch = (me.generation, me.number)
    replays = to_replay(world, tables, me.version) if world.rules.driver_replays else frozenset()
    # Replays are a batch of their own: no offset range is read with them.
    offers: list[tuple[str, tuple[Range, ...], frozenset[Offset]]] = [
        (f"over {[tuple(item) for item in ranges]}", ranges, frozenset())
        for ranges in _offers(world, tables, me.frontier)
    ]
    if replays:
        offers.insert(0, (f"of dead letters {sorted(replays)}", (), replays))
    for what, ranges, again in offers:
        after = me._replace(step="fold", batch=Commit(batch, ranges, me.version, again))
        name = f"plans batch {batch} {what}"
        if world.expiries or world.wrongly_rejected:
            yield name, tables, after
        else:
            label, _, folded = _fold(world, tables, after)
            yield f"{name}, {label}", tables, folded
    if not world.rules.generation_per_query_start and me.number > 1:
        rows = valid_rows(world, tables.takeovers, tables.ledger)
        yield (
            "starts its query again under the same generation",
            tables,
            me._replace(number=1, frontier=frontier(world, rows)),
        )


def _offers(world: World, tables: Tables, ends: tuple[int, ...]) -> list[tuple[Range, ...]]:
    full = tuple(
        Range(p, ends[p], tables.arrived[p], max(ends[p], tables.log_start[p]))
        for p in world.partitions
        if tables.arrived[p] > ends[p]
    )
    offers = [full] if full else []
    if world.small_batches and full:
        first = full[0]
        small = first._replace(end=min(first.end, first.lost_to + 1))
        if (small,) not in offers:
            offers.append((small,))
    return offers


def to_replay(world: World, tables: Tables, version: int) -> frozenset[Offset]:
    """Return the approved dead letters that a contract version accepts and no valid batch has replayed."""
    if not tables.approved:
        return frozenset()
    rows = valid_rows(world, tables.takeovers, tables.ledger)
    valid = {row.batch for row in rows}
    done = {offset for row in rows for offset in row.replayed}
    listed = {
        letter.record
        for letter in tables.dead
        if letter.batch in valid or not world.rules.dead_letters_need_validity
    }
    return frozenset(o for o in tables.approved & listed - done if world.accepts(version, o))


def _fold(world: World, tables: Tables, me: Driver) -> Step:
    assert me.batch is not None
    planned = me.batch
    read = planned._replace(
        ranges=tuple(
            item._replace(lost_to=min(item.end, max(item.lost_to, tables.log_start[item.partition])))
            for item in planned.ranges
        )
    )
    stated = read if world.rules.log_start_after_fold else planned
    if tables.claims != me.generation:
        return "is fenced", tables, me._replace(step="ended", batch=None, frontier=())
    return "passes the fence", tables, me._replace(step="write", batch=stated, unwritten=rows_of(world, read))


def rows_of(world: World, batch: Commit) -> tuple[Delta | DeadLetter, ...]:
    """Return what a fold of a batch emits: deltas by hour, then dead letters."""
    hours: dict[int, set[Offset]] = {world.records[offset].hour: set() for offset in batch.replayed}
    for offset in batch.replayed:
        hours[world.records[offset].hour].add(offset)
    rejected = []
    for item in batch.ranges:
        for offset in ((item.partition, o) for o in range(max(item.start, item.lost_to), item.end)):
            if world.accepts(batch.version, offset) and offset not in world.wrongly_rejected:
                hours.setdefault(world.records[offset].hour, set()).add(offset)
            else:
                rejected.append(offset)
    deltas = [Delta(batch.batch, hour, frozenset(hours[hour])) for hour in sorted(hours)]
    return (*deltas, *(DeadLetter(batch.batch, offset) for offset in rejected))


def insert(tables: Tables, row: Delta | DeadLetter) -> Tables:
    """Insert a row; deltas are there as often as they were inserted."""
    if isinstance(row, DeadLetter):
        return tables._replace(dead=tables.dead | {row})
    before = sum((old.batch, old.hour) == (row.batch, row.hour) for old in tables.deltas)
    return tables._replace(deltas=tables.deltas | {row._replace(copy=before)})


def commit(tables: Tables, row: Commit) -> Tables:
    """Insert a batch's ledger rows; they replace those with their key."""
    others = (old for old in tables.ledger if old.batch != row.batch)
    return tables._replace(ledger=frozenset(others) | {row})


def _write(world: World, tables: Tables, me: Driver) -> Iterator[Step]:
    assert me.batch is not None
    if me.unwritten:
        row, *rest = me.unwritten
        name = f"writes {_described(row)}"
        yield name, insert(tables, row), me._replace(unwritten=tuple(rest))
        if world.unanswered and not me.doubted and isinstance(row, Delta):
            again = me._replace(doubted=True)
            if world.rules.deltas_are_written_once:
                again = Driver("claim", me.version, doubted=True)
            yield f"{name}, {UNANSWERED}", insert(tables, row), again
            yield f"{name} {IN_VAIN}, {UNANSWERED}", tables, again
        return
    ends = list(me.frontier)
    for item in me.batch.ranges:
        ends[item.partition] = item.end
    after = me._replace(step="plan", frontier=tuple(ends), number=me.number + 1, batch=None)
    yield f"commits batch {me.batch.batch}", commit(tables, me.batch), after


def _described(row: Delta | DeadLetter) -> str:
    if isinstance(row, DeadLetter):
        return f"dead letter {row.record} of batch {row.batch}"
    return f"deltas {sorted(row.records)} of batch {row.batch}, hour {row.hour}"


def replayer_steps(world: World, tables: Tables, me: Replayer) -> Iterator[tuple[str, Tables, Replayer]]:
    """Yield what a replay beside the driver does next: a second batch in flight, numbered from the ledger."""
    if me.step == "begin" and to_replay(world, tables, 2):
        highest: Batch = max(row.batch for row in valid_rows(world, tables.takeovers, tables.ledger))
        batch = Commit((highest[0], highest[1] + 1), (), 2, to_replay(world, tables, 2))
        yield f"takes batch {batch.batch} for a replay", tables, me._replace(step="write", batch=batch)
    elif me.step == "write":
        assert me.batch is not None
        for row in rows_of(world, me.batch):
            tables = insert(tables, row)
        yield "writes replayed deltas", tables, me._replace(step="commit")
    elif me.step == "commit":
        assert me.batch is not None
        yield f"commits batch {me.batch.batch}", commit(tables, me.batch), me._replace(step="ended")
