"""Where a launch begins: at the ledger's end, at a start for a stream that has none, or past a gap that a person approves.

Pure: decides on what start_evidence.py has read. Earlier than the ledger would count twice, later leaves records
out, and a ledger that was lost must not be taken for a new stream.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EARLIEST = "earliest"
TRIGGER_SECONDS = (0.2, 60.0)
MAX_OFFSETS = (1_000, 1_000_000)


class StartRefusedError(ValueError):
    """A launch as it was asked for would harm the stream or makes no sense; nothing was submitted."""


@dataclass(frozen=True)
class Evidence:
    """What Kafka and ClickHouse hold of a stream before its launch.

    frontier: end of the valid ledger by partition, empty without a ledger. starts and asked: the log start and the
    offset of the asked start by partition; asked is None where no start was asked for. claim: newest generation
    claimed in Kafka; generation: highest takeover row, 0 without one; kept: the generations that it lists.
    ledger_rows, told, launches: sql/life_cycle/traces.sql, read only without a frontier. read_to: latest Kafka time
    in the ledger, by partition. ahead: how far an event time may lie beyond the moment of its commit.
    """

    stream: str
    frontier: dict[int, int]
    starts: dict[int, int]
    asked: dict[int, int] | None = None
    claim: int = 0
    generation: int = 0
    kept: tuple[int, ...] = ()
    ledger_rows: int = 0
    told: int = 0
    launches: int = 0
    read_to: dict[int, datetime] = field(default_factory=dict)
    ahead: timedelta = timedelta(0)

    def skipped(self) -> dict[int, tuple[int, int]]:
        """Return the offsets [from, to) that the asked start leaves out, by partition."""
        begin = self.starts | self.frontier
        return {
            p: (begin.get(p, at), at) for p, at in sorted((self.asked or {}).items()) if at > begin.get(p, at)
        }


@dataclass(frozen=True)
class Skip:
    """A gap that only a person may approve: offsets [from, to) by partition, and the hours that lose their proof."""

    stream: str
    moment: datetime
    offsets: dict[int, tuple[int, int]]
    first_hour: datetime
    last_hour: datetime

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self.offsets.values())

    def text(self) -> str:
        """Return what the person who approves has to know, as Markdown."""
        rows = [
            f"| {p} | {start:,} | {end:,} | {end - start:,} |" for p, (start, end) in self.offsets.items()
        ]
        return "\n".join(
            [
                f"**{self.stream}** would go on at {iso(self.moment)}, past the end of its ledger. "
                f"These {self.total:,} offsets would never be counted:",
                "",
                "| partition | ledger ends at | goes on at | skipped |",
                "|---|---|---|---|",
                *rows,
                "",
                f"**UNPROVABLE from then on:** the hours {_hour(self.first_hour)} to {_hour(self.last_hour)} (UTC; "
                "later ones too if it is approved later), "
                "and any earlier hour that is judged again, since late events of it may be among the skipped records. "
                "Certificates in force stay. The gap is recorded in the ledger and cannot be closed later.",
                "",
                "Reject, and launch with an empty start, to count these records after all.",
            ]
        )


def parse_start(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a start names; None for `earliest` and for none.

    Raises:
        StartRefusedError: it is no ISO timestamp, lies in the future, or before 1970.
    """
    if not text or text == EARLIEST:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StartRefusedError(
            f"start {text!r} is neither empty, `earliest`, nor an ISO timestamp such as 2026-01-01T00:00:00Z"
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if moment > now:
        raise StartRefusedError(f"start {text} is in the future: it is {iso(now.replace(microsecond=0))} now")
    if moment.timestamp() < 0:
        raise StartRefusedError(f"start {text} is before 1970, where no Kafka timestamp can be")
    return moment


def check_request(
    streams: Sequence[str],
    known: Collection[str],
    trigger_seconds: float,
    max_offsets: int,
    start: str | None,
    now: datetime,
) -> None:
    """Refuse values that no launch can have; max_offsets 0 stands for the setting's.

    Raises:
        StartRefusedError: names the value and its bounds.
    """
    if not streams:
        raise StartRefusedError("no stream was chosen")
    if unknown := sorted(set(streams) - set(known)):
        raise StartRefusedError(f"no such stream: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    low, high = TRIGGER_SECONDS
    if not low <= trigger_seconds <= high:
        raise StartRefusedError(f"trigger interval {trigger_seconds:g} s is not within {low:g} to {high:g} s")
    if max_offsets and not MAX_OFFSETS[0] <= max_offsets <= MAX_OFFSETS[1]:
        bounds = f"{MAX_OFFSETS[0]:,} to {MAX_OFFSETS[1]:,}"
        raise StartRefusedError(f"rate limit {max_offsets:,} is not within {bounds} records a batch")
    parse_start(start, now)


def lost_ledger(evidence: Evidence) -> str | None:
    """Return what shows that a stream had a ledger which is gone; None when it has one or never had.

    An idle stream has claims and a takeover row without any ledger row; so has one whose driver died early.
    """
    if evidence.frontier or not evidence.claim:
        return None
    stream, earlier = evidence.stream, [g for g in evidence.kept if g != evidence.generation]
    if earlier:
        return f"the takeover row of generation {evidence.generation} of {stream} keeps batches of generation {earlier[-1]}"
    if evidence.told:
        return f"generation {evidence.told >> 40} of {stream} told of committed batches in its heartbeats"
    if evidence.generation:
        return None
    if evidence.ledger_rows:
        return f"{evidence.ledger_rows} ledger rows of {stream} have no takeover row that makes them valid"
    if evidence.launches:
        return None
    return (
        f"Kafka holds claims of {stream} up to generation {evidence.claim}, and ClickHouse knows of no launch"
    )


def judge_start(
    evidence: Evidence, start: str | None, *, now: datetime, confirm_rebuild: bool, running: bool = False
) -> Skip | None:
    """Decide on one stream; return the gap that needs approval, None when the launch may go ahead.

    Without a ledger the stream begins at `earliest` or a timestamp. With one, a start below it in any partition
    would count records twice, and a start beyond it leaves some out.

    Raises:
        StartRefusedError: the ledger is lost, the start is earlier than the ledger, or the stream runs.
    """
    stream, moment = evidence.stream, parse_start(start, now)
    if evidence.claim < evidence.generation:
        raise StartRefusedError(
            f"{stream}: the newest claim in Kafka is {evidence.claim}, below generation {evidence.generation} in "
            "ClickHouse: the control topic was recreated, and no driver can take over until it is restored"
        )
    if lost := lost_ledger(evidence):
        if not confirm_rebuild:
            raise StartRefusedError(
                f"{stream} has lost its ledger in ClickHouse: {lost}. Restore the tables ledger and takeovers, or "
                "launch with confirm_rebuild to count everything again from the earliest record that Kafka still has"
            )
        if moment is not None:
            raise StartRefusedError(f"{stream} is to be rebuilt, which begins at earliest: leave start empty")
        return None
    if not evidence.frontier or not start:
        return None
    asked = evidence.asked or {}
    below = {p: at for p, at in asked.items() if at < evidence.frontier.get(p, 0)}
    if below:
        partition, at = min(below.items())
        raise StartRefusedError(
            f"{stream} would count records twice: start {start} is offset {at} of partition {partition}, and its "
            f"ledger ends at {evidence.frontier[partition]}; leave start empty, and to recount past hours run reconcile_hour"
        )
    skipped = evidence.skipped()
    if not skipped or moment is None:
        return None
    if running:
        raise StartRefusedError(f"{stream} runs: run stop_stream before a launch that leaves records out")
    since = min((evidence.read_to[p] for p in skipped if p in evidence.read_to), default=moment)
    return Skip(stream, moment, skipped, _floor(min(since, moment)), _floor(now + evidence.ahead))


def iso(moment: datetime) -> str:
    """Return a moment as the forms and the job take it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _hour(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H}"
