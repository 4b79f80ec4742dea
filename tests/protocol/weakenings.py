"""Every rule of the protocol switched off, with the smallest world that shows what the rule is for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.protocol.invariants import AT_REST, CERTIFIED, FALSE_ALARM, FORGOTTEN, READER, SERVED, STRAGGLERS
from tests.protocol.world import LOST_LEDGER_ROW, Record, Rules, World
from tests.protocol.worlds import (
    COMPACTED,
    LATE,
    LATE_ARRIVAL,
    ONE,
    QUERIED,
    REJECTED,
    RESEALED,
)


@dataclass(frozen=True)
class Weakening:
    """A protocol without one rule, and the invariant that it must be seen to break."""

    without: str
    world: World
    breaks: str
    rest: tuple[str, ...] = ()


def _weaker(without: str, world: World, breaks: str, *rest: str, **rules: bool) -> Weakening:
    return Weakening(without, replace(world, rules=replace(Rules(), **rules)), breaks, rest)


WEAKENINGS = (
    _weaker(
        "takeover rows, sweeping instead",
        World(ONE, drivers=(1, 1)),
        SERVED,
        takeovers_decide=False,
        nothing_is_swept=False,
    ),
    _weaker(
        "a rule for which of two overlapping ledger rows counts",
        World(LATE, arrived=(1,), drivers=(1, 1), sealers=(0,)),
        CERTIFIED,
        takeovers_decide=False,
    ),
    _weaker(
        "the highest takeover row deciding alone",
        World(ONE, drivers=(1, 1, 1)),
        FORGOTTEN,
        highest_takeover_decides=False,
    ),
    _weaker(
        "reading the newest claim after the ledger",
        World(LATE, arrived=(1,), drivers=(1, 1), sealers=(0,)),
        CERTIFIED,
        claim_is_read_last=False,
    ),
    _weaker(
        "reading takeover rows before the ledger",
        World(LATE_ARRIVAL, arrived=(1,), drivers=(1, 1), sealers=(0,)),
        CERTIFIED,
        takeovers_are_read_first=False,
    ),
    _weaker(
        "a new generation for each query start",
        World(LATE, arrived=(1,)),
        SERVED,
        generation_per_query_start=False,
    ),
    _weaker(
        "a new generation after an insert without an answer",
        World(ONE, unanswered=True),
        SERVED,
        deltas_are_written_once=False,
    ),
    _weaker("one read of the certificates in the view", QUERIED, READER, certificates_are_read_once=False),
    _weaker("grace before the certificate", QUERIED, READER, grace_before_certificate=False),
    _weaker("grace before compaction", replace(QUERIED, compactors=1), READER, grace_before_compaction=False),
    _weaker("unique seal numbers", COMPACTED, CERTIFIED, seal_numbers_are_unique=False),
    _weaker("the winner by (frontier, seal)", COMPACTED, CERTIFIED, frontier_ranks_first=False),
    _weaker("dropping only seals below the winner", COMPACTED, CERTIFIED, compaction_drops_only_below=False),
    _weaker("as-they-came figures in sealed rows", COMPACTED, FALSE_ALARM, came_figures_are_kept=False),
    _weaker(
        "verdicts apart from certificates",
        replace(RESEALED, expiries=((0, 1),)),
        CERTIFIED,
        verdicts_are_apart=False,
    ),
    _weaker(
        "reading ranges by Kafka time too",
        World(
            ((Record(0),), (Record(0, part=1),)),
            arrived=(1, 0),
            sealers=(0,),
            wrongly_rejected=frozenset({(0, 0)}),
        ),
        CERTIFIED,
        ranges_by_kafka_time=False,
    ),
    _weaker(
        "asking for the log start after the fold",
        World(LATE, expiries=((0, 1),)),
        SERVED,
        log_start_after_fold=False,
    ),
    _weaker(
        "validity for dead letters",
        World(REJECTED, drivers=(1, 2), approvals=True),
        SERVED,
        dead_letters_need_validity=False,
    ),
    _weaker(
        "replay by the driver itself",
        World(((*REJECTED[0], Record(0, kafka_hour=1)),), arrived=(2,), drivers=(1, 2), approvals=True),
        SERVED,
        driver_replays=False,
    ),
    _weaker(
        "the frontier as the highest end",
        World(LATE_ARRIVAL, arrived=(1,), damages=(LOST_LEDGER_ROW,)),
        AT_REST,
        STRAGGLERS[0],
        frontier_is_highest_end=False,
    ),
    _weaker(
        "refusing a base beyond the ledger that was read",
        replace(RESEALED, log=LATE_ARRIVAL),
        FALSE_ALARM,
        base_not_beyond_frontier=False,
    ),
)
