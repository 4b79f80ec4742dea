"""The report that ends `make demo`: figures from the platform, as JSON and on the screen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract
from include.demo.truth import Comparison
from include.reconcile.closing import closes_at
from include.streaming.ledger import CommitState, read_commit_state
from include.warehouse.sql import read_sql

VERIFIED = ("PROVED", "REPAIRED")


@dataclass(frozen=True)
class StreamBalance:
    """Records and offsets of one stream since it began; duplicates are copies in the certified hours.

    A dead letter that was replayed counts as aggregated.

    unexplained = offsets in no class, lost ones, holes and overlaps of the ledger, records sent but not read, and
    replays of a dead letter beyond the first.
    """

    sent: int
    offsets: int
    aggregated: int
    rejected: int
    late: int
    duplicates: int
    non_records: int
    unexplained: int


@dataclass(frozen=True)
class HourLine:
    """The verdict of one hour; `hour` is ISO 8601."""

    stream: str
    hour: str
    verdict: str
    offsets: int
    windows: int


@dataclass(frozen=True)
class Drift:
    """What was damaged on purpose and what became of it."""

    kind: str
    caught: bool
    verdict: str
    proved_again: bool
    damage: str
    found: str


@dataclass(frozen=True)
class LatencySeconds:
    """From the producer's send to the event first seen in the served view."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Report:
    """All that the demo saw."""

    streams: dict[str, StreamBalance]
    batches: int
    hours: list[HourLine]
    drift: Drift
    truth: Comparison
    latency: LatencySeconds
    set_up_seconds: float
    total_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the document of .local/demo-report.json."""
        return {
            "streams": {stream: asdict(balance) for stream, balance in self.streams.items()},
            "hours": [asdict(line) for line in self.hours],
            "drift": {k: v for k, v in asdict(self.drift).items() if k not in ("damage", "found")},
            "truth": {"compared": self.truth.compared, "unequal": self.truth.unequal},
            "latency_seconds": {"p50": round(self.latency.p50, 3), "p99": round(self.latency.p99, 3)},
            "seconds": {"set_up": round(self.set_up_seconds, 1), "total": round(self.total_seconds, 1)},
        }

    def faults(self) -> list[str]:
        """Return what is not as it must be, a sentence each; empty when all is well."""
        faults = [
            f"{s}: {b.unexplained} offsets unexplained" for s, b in self.streams.items() if b.unexplained
        ]
        faults += [
            f"{line.stream} {line.hour} is {line.verdict}"
            for line in self.hours
            if line.verdict not in (*VERIFIED, "OPEN")
        ]
        if not any(line.verdict in VERIFIED for line in self.hours):
            faults.append("no hour was proved")
        if self.truth.unequal or not self.truth.compared:
            faults.append(f"{self.truth.unequal} of {self.truth.compared} figures differ from what was sent")
            faults += [f"  {example}" for example in self.truth.examples]
        if not (self.drift.caught and self.drift.verdict == "REPAIRED" and self.drift.proved_again):
            faults.append(f"the damage was not caught, repaired and proved again: {self.drift}")
        return faults

    def as_text(self) -> str:
        """Return the report as aligned lines."""
        lines = [
            "",
            "Balance             " + "".join(f"{name:>12}" for name in StreamBalance.__annotations__),
        ]
        for stream, balance in self.streams.items():
            lines.append(f"  {stream:<18}" + "".join(f"{figure:>12,}" for figure in asdict(balance).values()))
        lines += [
            f"  {self.batches:,} batches committed",
            "",
            f"{'Hour':<38}{'verdict':<12}{'offsets':>12}{'windows':>10}",
        ]
        lines += [
            f"  {h.stream:<14}{h.hour:<22}{h.verdict:<12}{h.offsets:>12,}{h.windows:>10,}" for h in self.hours
        ]
        drift, truth = self.drift, self.truth
        lines += [
            "",
            f"Damage      {drift.kind}: {'caught' if drift.caught else 'NOT CAUGHT'}, {drift.verdict}, "
            f"{'proved again' if drift.proved_again else 'NOT PROVED AGAIN'}",
            f"            done: {drift.damage}",
            f"            found: {drift.found}",
            f"Truth       {truth.compared:,} figures compared with what the generator sent, {truth.unequal:,} unequal",
            f"Latency     send to visible in the view: p50 {self.latency.p50:.2f} s, p99 {self.latency.p99:.2f} s",
            f"Time        {self.set_up_seconds:.0f} s to set up, {self.total_seconds:.0f} s in all",
        ]
        return "\n".join(lines)


def stream_balance(client: Client, contract: Contract) -> tuple[StreamBalance, int]:
    """Return the balance of a stream over its whole ledger, and how many batches it has committed."""
    state = read_commit_state(client, contract.stream)
    sent = int(client.execute(read_sql("report/traffic.sql"), {"stream": contract.stream})[0][0])
    rows = state.rows
    offsets = sum(row.end_offset - row.start_offset for row in rows)
    accepted, rejected = sum(row.accepted for row in rows), sum(row.rejected for row in rows)
    non_records = sum(row.non_records for row in rows)
    classified = accepted + rejected + non_records
    unexplained = abs(offsets - classified) + abs(sent - accepted - rejected) + broken_chain(state)
    certified = {(hour, seal) for hour, _, seal, *_ in certificates(client, contract.stream)}
    copies = client.execute(read_sql("report/duplicates.sql"), {"stream": contract.stream})
    duplicates = sum(count for hour, seal, count in copies if (hour, seal) in certified)
    late = sum(row.late for row in rows)
    replayed = [
        place for row in rows for place in zip(row.replayed_partitions, row.replayed_offsets, strict=True)
    ]
    unexplained += len(replayed) - len(set(replayed))
    aggregated, left = accepted + len(replayed), rejected - len(replayed)
    balance = StreamBalance(sent, offsets, aggregated, left, late, duplicates, non_records, unexplained)
    return balance, len({row.batch for row in rows})


def broken_chain(state: CommitState) -> int:
    """Return how many offsets of a ledger are in a hole or an overlap."""
    broken, ends = 0, dict[int, int]()
    for row in sorted(state.rows, key=lambda row: (row.partition, row.start_offset)):
        broken += abs(row.start_offset - ends.get(row.partition, row.start_offset))
        ends[row.partition] = max(row.end_offset, ends.get(row.partition, 0))
    return broken


def certificates(client: Client, stream: str) -> list[tuple[datetime, int, int, str, int, int, datetime]]:
    """Return (hour, frontier, seal, verdict, offsets, windows, when) of the certificates in force."""
    found: list[tuple[datetime, int, int, str, int, int, datetime]] = client.execute(
        read_sql("report/certificates.sql"), {"stream": stream}
    )
    return found


def hour_lines(client: Client, contract: Contract, as_of: datetime) -> list[HourLine]:
    """Return every certified hour and every other that holds events: OPEN, or NOT PROVED if closed as of then."""
    lines = {
        hour: HourLine(contract.stream, f"{hour:%Y-%m-%dT%H:%M:%SZ}", verdict, offsets, windows)
        for hour, _, _, verdict, offsets, windows, _ in certificates(client, contract.stream)
    }
    for row in read_commit_state(client, contract.stream).rows:
        for hour in row.hours:
            closed = closes_at(hour, contract.lateness_seconds) <= as_of
            verdict = "NOT PROVED" if closed else "OPEN"
            lines.setdefault(hour, HourLine(contract.stream, f"{hour:%Y-%m-%dT%H:%M:%SZ}", verdict, 0, 0))
    return [lines[hour] for hour in sorted(lines)]
