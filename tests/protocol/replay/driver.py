"""A streaming driver without Spark: the product's claim, takeover, fold, fence and write."""

from __future__ import annotations

from dataclasses import replace

from include.streaming import ledger
from include.streaming.commit import ledger_rows, write_batch
from include.streaming.control import ControlLog, claim
from include.streaming.ledger import GenerationError, batch_id
from include.topics.offsets import Offsets
from tests.helpers import Record, folded
from tests.protocol.replay.gate import Actor, SteppedClient
from tests.protocol.replay.platform import STREAM, Platform
from tests.protocol.state import Offset
from tests.protocol.world import Rules

WRITES = [("write", r"INSERT INTO (\w+_delta|dead_letters|ledger) ")] * 3
RESTARTS = "starts its query again"


def read_steps(rules: Rules) -> list[tuple[str, str]]:
    """Return the two reads of driver and sealer, in the order of the rules."""
    first, second = "FROM takeovers", "FROM ledger"
    return list(
        zip(
            ("read", "read on"),
            (first, second) if rules.takeovers_are_read_first else (second, first),
            strict=True,
        )
    )


def takeover_steps(rules: Rules) -> list[tuple[str, str]]:
    """Return the statements of a takeover that are steps of the model."""
    return read_steps(rules) + [("take over", "INSERT INTO takeovers")] * rules.takeovers_decide


def drive(platform: Platform, actor: Actor) -> None:
    """Do what a driver does, from its claim until it is fenced."""
    offsets = Offsets(platform.settings, platform.contract.topic.name)
    control = ControlLog(platform.settings)
    try:
        _run(platform, actor, offsets, control)
    finally:
        control.close()


def _run(platform: Platform, actor: Actor, offsets: Offsets, control: ControlLog) -> None:
    actor.before("claim")
    generation = claim(platform.settings, STREAM)
    platform.generations.append(generation)
    try:
        client = SteppedClient(platform.connect(), takeover_steps(platform.world.rules))
        position = ledger.take_over(client, STREAM, generation)
    except GenerationError:
        return
    at, number = dict(position.frontier), 0
    while True:
        actor.before("plan")
        if control.newest_claim(STREAM) != generation:
            return
        if RESTARTS in actor.what:
            at, number = ledger.read_position(platform.connect(), STREAM).frontier, 0
            continue
        ranges = {p: (at.get(p, 0), end) for p, end in offsets.ends().items() if end > at.get(p, 0)}
        if not ranges:
            continue
        if not _batch(platform, actor, generation, number, ranges, offsets, control):
            return
        at |= {partition: end for partition, (_, end) in ranges.items()}
        number += 1


def _batch(
    platform: Platform,
    actor: Actor,
    generation: int,
    number: int,
    ranges: dict[int, tuple[int, int]],
    offsets: Offsets,
    control: ControlLog,
) -> bool:
    """Fold and commit a batch; return False when the fence says that another driver has claimed the stream."""
    world = platform.world
    planned = offsets.starts()
    if world.expiries or world.wrongly_rejected:
        actor.before("fold")
    starts = offsets.starts()
    read = [
        _as_folded(platform, (partition, offset))
        for partition, (start, end) in ranges.items()
        for offset in range(max(start, starts[partition]), end)
    ]
    results = folded(platform.contract, [[read]]) if read else {}
    stated = starts if world.rules.log_start_after_fold else planned
    batch = batch_id(generation, number)
    rows = ledger_rows(platform.contract, batch, ranges, stated, results)
    if control.newest_claim(STREAM) != generation:
        return False
    write_batch(SteppedClient(platform.connect(), WRITES), platform.contract, batch, results, rows)
    return True


def _as_folded(platform: Platform, offset: Offset) -> Record:
    """Return a record; one that this world's fold wrongly rejects is made one that it must reject."""
    record = platform.record(offset)
    return replace(record, value=b"{") if offset in platform.world.wrongly_rejected else record
