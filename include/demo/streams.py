"""What became of one stream: its balance, its hours and what is served of it, from the platform's own tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.demo.truth import Comparison, compare_with_truth
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
class StreamReport:
    """What became of one stream; rejected_by: reason -> records."""

    balance: StreamBalance
    batches: int
    rejected_by: dict[str, int]
    hours: list[HourLine]
    truth: Comparison

    @property
    def proved(self) -> int:
        """Hours that are PROVED or REPAIRED."""
        return sum(line.verdict in VERIFIED for line in self.hours)


def stream_report(client: Client, contract: Contract, as_of: datetime) -> StreamReport:
    """Return what became of a stream; hours that could be closed by `as_of` must be proved."""
    balance, batches = stream_balance(client, contract)
    rejected = dict(client.execute(read_sql("report/rejected.sql"), {"stream": contract.stream}))
    hours = hour_lines(client, contract, as_of)
    return StreamReport(balance, batches, rejected, hours, compare_with_truth(client, contract))


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
