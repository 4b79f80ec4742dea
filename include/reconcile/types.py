"""The nouns of a reconciliation, as they travel between its steps. Hours are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
PROVED, REPAIRED, DRIFTED, UNPROVABLE, OPEN = "PROVED", "REPAIRED", "DRIFTED", "UNPROVABLE", "OPEN"
CERTIFYING = (PROVED, REPAIRED)
FAILING = (DRIFTED, UNPROVABLE)
AUTO = "auto"  # the repair mode that mends without asking
ASK = "ask"  # the one in which a person approves a repair first
MISSING, EXCESS, MISMATCHED = "missing", "excess", "mismatched"


class ReconcileError(RuntimeError):
    """A reconciliation cannot go on; the message names stream and hour and says what to do."""


class CertificateChangedError(ReconcileError):
    """Another run certified an hour meanwhile; this run's judgement of it is void. Starting over is safe."""


def as_utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC; a naive one is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def epoch(moment: datetime) -> int:
    """Return epoch seconds."""
    return int(as_utc(moment).timestamp())


def from_epoch(seconds: int) -> datetime:
    """Return the aware datetime of epoch seconds."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, order=True)
class OffsetRange:
    """Offsets [start, end) of one partition."""

    partition: int
    start: int
    end: int

    @property
    def offsets(self) -> int:
        """How many offsets it spans."""
        return self.end - self.start


@dataclass(frozen=True, order=True)
class Replayed:
    """A dead letter that batch `batch` folded: hour is its event hour in epoch seconds as the batch's ledger row lists it,
    contract_version that of this row."""

    offset: int
    hour: int
    batch: int
    contract_version: int


@dataclass(frozen=True)
class Segment:
    """A range made of whole ledger rows, and what the ledger says of it; hours: epoch second -> events.

    contract_version: that under which the rows' records were folded; 0 stands for the loaded one. replayed: records
    that the rows count as rejected, and that other batches folded later.
    """

    range: OffsetRange
    accepted: int
    rejected: int
    late: int
    non_records: int
    hours: dict[int, int]
    contract_version: int = 0
    replayed: tuple[Replayed, ...] = ()


@dataclass(frozen=True)
class Certificate:
    """A certificate in force, as far as a seal needs it."""

    frontier: int
    seal: int
    digest: str


@dataclass(frozen=True)
class HourPlan:
    """What is to be read for an hour, or the verdict that reading cannot change.

    findings: what was wrong with the ledger for this hour, a sentence each. base_contract_version: that of the base's
    certificate, 0 for the plan's. filled: cubes and `cube.measure` that were not folded for all that is in the hour,
    so that they cannot be compared as they came and are filled by the recount.
    """

    run: str
    stream: str
    hour: datetime
    seal: int
    generation: int
    frontier: int
    base: Certificate | None
    contract_version: int
    repair: str
    segments: tuple[Segment, ...] = ()
    verdict: str | None = None
    reason: str = ""
    findings: tuple[str, ...] = ()
    base_contract_version: int = 0
    filled: tuple[str, ...] = ()

    @property
    def offsets(self) -> int:
        """Offsets that the recount of this hour spans."""
        return sum(segment.range.offsets for segment in self.segments)


@dataclass(frozen=True)
class PartitionBalance:
    """The balance of an hour in one partition; offsets = this_hour + other_hours + rejected + non_records.

    The recount counts non-records before it judges any record, and must come to what the ledger counted on its own.
    each_once: whether the records that were judged are those that were read, each once. A dead letter that a valid
    ledger row lists as replayed is an event of this or another hour, and not among rejected.
    """

    partition: int
    ranges: tuple[tuple[int, int], ...]
    offsets: int
    this_hour: int
    other_hours: int
    rejected_by_reason: dict[str, int]
    non_records: int
    ledger_non_records: int
    late: int
    duplicates: int
    each_once: bool = True

    @property
    def rejected(self) -> int:
        """Rejected records of all reasons."""
        return sum(self.rejected_by_reason.values())

    @property
    def is_whole(self) -> bool:
        """Whether the recount gave each offset one class, whatever the ledger says."""
        return (
            self.each_once
            and self.non_records >= 0
            and self.offsets == self.this_hour + self.other_hours + self.rejected + self.non_records
        )

    @property
    def holds(self) -> bool:
        """Whether each offset has one class, and the ledger counts as many non-records."""
        return self.is_whole and self.non_records == self.ledger_non_records


@dataclass(frozen=True)
class Difference:
    """A cell where expected and served figures differ; figures are "measure=integer …", empty when absent.

    drift is the class of damage where it can be told, else empty.
    """

    cube: str
    window_start: datetime
    dimensions: str
    kind: str
    expected: str
    served: str
    drift: str = ""


@dataclass(frozen=True)
class Differences:
    """All differing cells by count, and the first of them by name."""

    missing: int = 0
    excess: int = 0
    mismatched: int = 0
    cells: tuple[Difference, ...] = ()

    @property
    def total(self) -> int:
        """Differing cells, listed or not."""
        return self.missing + self.excess + self.mismatched


@dataclass(frozen=True)
class Recounted:
    """What the recount found for an hour, without its rows, which are in the sealed tables.

    events_without_identity: how many of its events have no identity, so that every copy counts. id_reused: how many of
    its identities were read as an event of another hour, too, which is as much as the read ranges show.
    """

    windows: int
    cells: int
    events: int
    events_as_they_came: int
    digest: str
    balances: tuple[PartitionBalance, ...]
    findings: tuple[str, ...] = ()
    verdict: str | None = None
    events_without_identity: int | None = None
    id_reused: int | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict of an hour and why; drifts are the classes of damage that were found."""

    verdict: str
    reason: str
    differences: Differences = field(default_factory=Differences)
    drifts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a person said to a repair; by names them, empty when nobody answered in time."""

    approved: bool
    by: str
