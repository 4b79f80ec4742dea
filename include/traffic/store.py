"""Writes a run's account to ClickHouse: traffic_runs, traffic_truth and, for live runs, traffic_sends.

The row of traffic_runs is written last: a run that is listed has its whole truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.traffic.tally import TruthRow


@dataclass(frozen=True)
class TrafficReport:
    """What a run sent: `sent` Kafka records = `accepted` events + `rejected`.

    `late` and `duplicates` are among the accepted. `seconds` is the wall time of sending,
    `first_event` the earliest event time accepted, `windows` the rows of truth.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the report with times as ISO 8601 text, fit for JSON."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def store_account(
    client: Client, report: TrafficReport, truth: Sequence[TruthRow], sent_at_ms: Sequence[int]
) -> None:
    """Write the account of one run; writing it twice changes nothing but for `sent_at_ms`.

    Raises:
        clickhouse_driver.errors.Error: the server cannot be reached or lacks the tables.
    """
    if sent_at_ms:
        client.execute(
            "INSERT INTO traffic_sends (run, stream, sent_at) VALUES",
            [(report.run, report.stream, sent) for sent in sent_at_ms],
        )
    client.execute(
        "INSERT INTO traffic_truth (run, stream, cube, window_start, dimensions, once, came) VALUES",
        [
            (report.run, report.stream, row.cube, row.window_start, row.dimensions, row.once, row.came)
            for row in truth
        ],
    )
    columns = {k: v for k, v in asdict(report).items() if k not in ("topic", "windows")}
    client.execute(f"INSERT INTO traffic_runs ({', '.join(columns)}) VALUES", [tuple(columns.values())])
