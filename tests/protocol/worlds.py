"""The configurations in which the full protocol is searched; the small ones on every change."""

from __future__ import annotations

from dataclasses import replace

from tests.protocol.invariants import STRAGGLERS
from tests.protocol.world import LOST_DELTA, LOST_LEDGER_ROW, Record, World

ONE = ((Record(0),),)
LATE = ((Record(0), Record(0, part=1)),)
LATE_ARRIVAL = ((Record(0), Record(0, part=1, kafka_hour=1)),)
LATE_COPY = ((Record(0, identity="a"), Record(0, part=1, identity="a")),)
TWO_PARTITIONS = ((Record(0), Record(1)), (Record(0, part=1),))
NEW_CONTRACT_ONLY = frozenset({2})
REJECTED = ((Record(0), Record(0, part=1, accepted_by=NEW_CONTRACT_ONLY)),)

RESEALED = World(LATE, arrived=(1,), sealers=(0, 0))
COMPACTED = replace(RESEALED, compactors=1)
QUERIED = World(LATE, arrived=(1,), sealers=(0,), readers=1)
TAKEN_OVER = World(LATE_ARRIVAL, arrived=(1,), drivers=(1, 1), sealers=(0,))
DAMAGED = World(LATE_ARRIVAL, drivers=(1, 1), small_batches=True, damages=(LOST_DELTA, LOST_LEDGER_ROW))

# Name, world, and the ways of coming to rest that are tried from each of its states.
SMALL: tuple[tuple[str, World, tuple[str, ...]], ...] = (
    ("two drivers, two partitions and hours", World(TWO_PARTITIONS, drivers=(1, 1)), STRAGGLERS),
    ("three drivers", World(ONE, drivers=(1, 1, 1)), STRAGGLERS),
    ("two drivers and a sealer", TAKEN_OVER, ()),
    ("two sealers, a late copy and a compaction", replace(COMPACTED, log=LATE_COPY), ()),
    ("two sealers at rest", RESEALED, STRAGGLERS[:1]),
    ("a sealer, a query and a compaction", replace(QUERIED, compactors=1), ()),
    ("a query beside a takeover", replace(QUERIED, drivers=(1, 1), sealers=()), ()),
    ("an insert without an answer", replace(RESEALED, unanswered=True), STRAGGLERS[:1]),
    ("records that expire", replace(QUERIED, readers=0, sealers=(0, 0), expiries=((0, 1), (0, 2))), ()),
    ("a replay under a new contract", World(REJECTED, drivers=(1, 2), sealers=(0,), approvals=True), ()),
    ("lost deltas and ledger rows", DAMAGED, STRAGGLERS[:1]),
)

LARGE: tuple[tuple[str, World, tuple[str, ...]], ...] = (
    ("two drivers and two sealers", replace(TAKEN_OVER, sealers=(0, 0)), ()),
    ("three drivers and a sealer", replace(TAKEN_OVER, drivers=(1, 1, 1)), ()),
    ("two sealers and a query", replace(RESEALED, readers=1), ()),
    (
        "two partitions, two hours, two sealers",
        World(TWO_PARTITIONS, arrived=(1, 1), drivers=(1, 1), sealers=(0, 1)),
        (),
    ),
    (
        "a replay and two sealers",
        World(REJECTED, drivers=(1, 2), sealers=(0, 0), approvals=True),
        (),
    ),
    (
        "inserts without an answer, two drivers and a sealer",
        replace(TAKEN_OVER, unanswered=True),
        STRAGGLERS[:1],
    ),
    (
        "two drivers, a sealer and expiry",
        replace(TAKEN_OVER, expiries=((0, 1), (0, 2))),
        STRAGGLERS[:1],
    ),
)

# Everything at once, for random walks: too large to search.
MIXED = World(
    (
        (
            Record(0, identity="a"),
            Record(1, identity="z"),
            Record(0, part=1, identity="b", accepted_by=NEW_CONTRACT_ONLY, kafka_hour=1),
            Record(0, identity="b", kafka_hour=1),
        ),
        (
            Record(0, part=1, identity="b"),
            Record(0, part=1, identity="a", kafka_hour=1),
            Record(1, part=1, kafka_hour=1),
            Record(0, part=1, identity="q", accepted_by=frozenset(), kafka_hour=2),
        ),
    ),
    arrived=(2, 1),
    drivers=(1, 1, 2),
    sealers=(0, 1, 0, 0),
    readers=2,
    compactors=2,
    approvals=True,
    small_batches=True,
    unanswered=True,
)
