"""What is durable (`Tables`) and what a crash forgets (`Driver`, `Sealer`, `Reader`, `Compactor`).

Everything is an immutable tuple, so that a state is its own identity in a search.
"""

from __future__ import annotations

from typing import NamedTuple

Offset = tuple[int, int]  # (Kafka partition, offset)
Batch = tuple[int, int]  # (generation, number from 1), ordered as generation << 40 | number
Keep = tuple[tuple[int, int], ...]  # (generation, highest batch number that counts), by generation
PROVED, REPAIRED, UNPROVABLE = "PROVED", "REPAIRED", "UNPROVABLE"


class Step(NamedTuple):
    """One step of a trace: who took it, as in "driver 0" or "producer 1", and what it did."""

    actor: str
    what: str

    def __str__(self) -> str:
        return f"{self.actor} {self.what}"


class Takeover(NamedTuple):
    """Which batches of generations before `generation` count."""

    generation: int
    keep: Keep


class Range(NamedTuple):
    """Offsets [start, end) of a partition; those below `lost_to` had expired before they were read."""

    partition: int
    start: int
    end: int
    lost_to: int


class Commit(NamedTuple):
    """All ledger rows of one batch."""

    batch: Batch
    ranges: tuple[Range, ...]
    version: int
    replayed: frozenset[Offset] = frozenset()


class Delta(NamedTuple):
    """One batch's rows of one event hour. What is inserted a second time is there twice: `copy` tells them apart."""

    batch: Batch
    hour: int
    records: frozenset[Offset]
    copy: int = 0


class DeadLetter(NamedTuple):
    """A rejected record; it counts while its batch does."""

    batch: Batch
    record: Offset


class Sealed(NamedTuple):
    """One part of a seal's rows: each identity once, and as they came; the key is all but those two."""

    hour: int
    frontier: Batch
    seal: int
    part: int
    once: frozenset[Offset]
    came: frozenset[Offset]

    @property
    def rank(self) -> tuple[Batch, int]:
        """What decides which seal of an hour is the later one."""
        return self.frontier, self.seal


class Certificate(NamedTuple):
    """The row whose insert switches readers over to a seal."""

    hour: int
    frontier: Batch
    seal: int
    verdict: str

    @property
    def rank(self) -> tuple[Batch, int]:
        """What decides which certificate of an hour is in force."""
        return self.frontier, self.seal


class Tables(NamedTuple):
    """Kafka (log, control topic) and ClickHouse. `zeroed` serves a weaker protocol only."""

    arrived: tuple[int, ...]
    log_start: tuple[int, ...]
    claims: int = 0
    seals: int = 0
    takeovers: frozenset[Takeover] = frozenset()
    ledger: frozenset[Commit] = frozenset()
    deltas: frozenset[Delta] = frozenset()
    dead: frozenset[DeadLetter] = frozenset()
    sealed: frozenset[Sealed] = frozenset()
    certificates: frozenset[Certificate] = frozenset()
    zeroed: frozenset[tuple[Batch, int]] = frozenset()
    approved: frozenset[Offset] = frozenset()
    damages: int = 0


class Driver(NamedTuple):
    """A streaming query of one process: claim, takeover, then batch after batch."""

    step: str
    version: int
    generation: int = 0
    seen_takeovers: frozenset[Takeover] = frozenset()
    seen_ledger: frozenset[Commit] = frozenset()
    keep: Keep = ()
    frontier: tuple[int, ...] = ()
    number: int = 1
    batch: Commit | None = None
    unwritten: tuple[Delta | DeadLetter, ...] = ()
    doubted: bool = False


class Sealer(NamedTuple):
    """One reconciliation of one hour."""

    step: str
    hour: int
    seal: int = 0
    claim: int = 0
    seen_takeovers: frozenset[Takeover] = frozenset()
    seen_ledger: frozenset[Commit] = frozenset()
    rows: tuple[Commit, ...] = ()
    generation: int = 0
    frontier: Batch = (0, 0)
    base: Certificate | None = None
    counted: frozenset[Offset] = frozenset()
    sound: bool = True
    verdict: str = ""


class Reader(NamedTuple):
    """One query of the served view; a table that is None is not read yet. `began_*` is what it began beside."""

    step: str
    began_sealed: frozenset[Sealed] = frozenset()
    began_certificates: frozenset[Certificate] = frozenset()
    began_rows: tuple[Commit, ...] = ()
    certificates: frozenset[Certificate] | None = None
    certificates_again: frozenset[Certificate] | None = None
    sealed: frozenset[Sealed] | None = None
    deltas: tuple[frozenset[Delta], frozenset[tuple[Batch, int]]] | None = None
    takeovers: frozenset[Takeover] | None = None


class Compactor(NamedTuple):
    """One run of the compaction."""

    step: str
    certificates: frozenset[Certificate] = frozenset()


class Replayer(NamedTuple):
    """A replay of dead letters beside the driver; takes part in a weaker protocol only."""

    step: str
    batch: Commit | None = None


Process = Driver | Sealer | Reader | Compactor | Replayer


class State(NamedTuple):
    """Everything."""

    tables: Tables
    processes: tuple[Process, ...]
