"""Writes a run's account to ClickHouse: traffic_runs, traffic_truth and, for live runs, traffic_sends.

The row of traffic_runs is written last: a run that is listed has its whole truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.traffic.incidents import IncidentFacts
from include.traffic.tally import TruthRow

NOT_STORED = ("topic", "windows", "incident")


@dataclass(frozen=True)
class TrafficReport:
    """What a run sent: `sent` Kafka records = `accepted` events + `rejected`.

    `late` and `duplicates` are among the accepted. `seconds` is the wall time of sending,
    `first_event` the earliest event time accepted, `windows` the rows of truth. `duplicates` are events
    that repeat an identity. `incident` is what went wrong on purpose, with the alerts that must follow.
    """

    run: str
    stream: str
    topic: str
    seed: int
    started_at: datetime
    first_event: datetime
    seconds: float
    sent: int
    accepted: int
    rejected: int
    late: int
    duplicates: int
    windows: int
    parameters: str
    incident: IncidentFacts | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report with times as ISO 8601 text, fit for JSON."""
        plain = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}
        return plain | {"incident": self.incident and self.incident.as_dict()}


@dataclass(frozen=True)
class Account:
    """The whole account of one run: what it sent, its truth, and of a live run when each event was handed over."""

    report: TrafficReport
    truth: Sequence[TruthRow]
    sent_at_ms: Sequence[int]


def store_accounts(client: Client, accounts: Sequence[Account]) -> None:
    """Write the accounts of some runs; writing them twice changes nothing but for `sent_at_ms`.

    Raises:
        clickhouse_driver.errors.Error: the server cannot be reached or lacks the tables.
    """
    sends = [(a.report.run, a.report.stream, sent) for a in accounts for sent in a.sent_at_ms]
    if sends:
        client.execute("INSERT INTO traffic_sends (run, stream, sent_at) VALUES", sends)
    client.execute(
        "INSERT INTO traffic_truth (run, stream, cube, window_start, dimensions, once, came) VALUES",
        [
            (a.report.run, a.report.stream, row.cube, row.window_start, row.dimensions, row.once, row.came)
            for a in accounts
            for row in a.truth
        ],
    )
    runs = [{k: v for k, v in asdict(a.report).items() if k not in NOT_STORED} for a in accounts]
    client.execute(
        f"INSERT INTO traffic_runs ({', '.join(runs[0])}) VALUES", [tuple(r.values()) for r in runs]
    )
