"""Decides what is done about a verdict: nothing, an end for older drivers, a relaunch, or giving up. Pure.

A relaunch takes the parameters of the last launch that a person ordered. The budget is BUDGET
relaunches in WINDOW_SECONDS; once it is spent the watcher has given up, and stays so until a person
orders a launch, which also begins a new budget. A stalled driver is not ended beforehand: the new one
takes its streams over, so that what else it carries goes on, and the launch ends it when nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.watch.types import (
    DOUBLED,
    END_OLDER,
    GAVE_UP,
    RELAUNCH,
    STALLED,
    Check,
    Judgement,
    Observation,
    Relaunch,
)

# What fails three times in a quarter of an hour fails for a reason that a fourth driver would meet too.
BUDGET = 3
WINDOW_SECONDS = 900.0


def decide(seen: Observation, judged: Judgement) -> Check:
    """Return the check with its action."""
    if judged.verdict == DOUBLED:
        return Check(seen=seen, judged=judged, action=END_OLDER)
    if not judged.relaunch_helps:
        off = f"no repair by itself since it gave up {_ago(seen)}" if seen.gave_up_at else ""
        return Check(seen=seen, judged=judged, note=off)
    if not seen.wanted:
        return Check(seen=seen, judged=judged, note="no launch is on record: it is not relaunched by itself")
    if seen.gave_up_at:
        return Check(seen=seen, judged=judged, action=GAVE_UP, note=f"gave up {_ago(seen)}")
    if seen.relaunches >= BUDGET:
        spent = f"{seen.relaunches} relaunches in {WINDOW_SECONDS / 60:.0f} min did not help: gave up"
        return Check(seen=seen, judged=judged, action=GAVE_UP, note=spent)
    turn = f"relaunch {seen.relaunches + 1} of {BUDGET} in {WINDOW_SECONDS / 60:.0f} min"
    return Check(seen=seen, judged=judged, action=RELAUNCH, note=turn)


def relaunches(checks: Sequence[Check]) -> list[Relaunch]:
    """Return one launch for each set of streams that were last launched together and need it now."""
    groups: dict[tuple[object, ...], Relaunch] = {}
    for check in checks:
        order = check.seen.order
        if check.action != RELAUNCH or order is None:
            continue
        # A stream that has a ledger goes on where it ends, wherever it was once told to start.
        start = "" if check.seen.batch else order.start
        key = (order.streams, order.trigger_seconds, order.max_offsets, start)
        known = groups.get(key)
        groups[key] = Relaunch(
            streams=tuple(sorted({check.seen.stream, *(known.streams if known else ())})),
            trigger_seconds=order.trigger_seconds,
            max_offsets=order.max_offsets,
            start=start,
            # What stalls may still say that it runs.
            force=check.judged.verdict == STALLED or bool(known and known.force),
        )
    return list(groups.values())


def to_end(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the drivers of older generations, which are to be ended now."""
    return tuple(sorted({driver for c in checks if c.action == END_OLDER for driver in c.judged.ends}))


def _ago(seen: Observation) -> str:
    return f"{(seen.at - seen.gave_up_at) / 60_000:.0f} min ago; a launch by a person clears it"
