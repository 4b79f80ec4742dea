"""The tables of the detectors: alerts, which certificates they have judged, and what the streaming job's did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.detect.judge import Fired
from include.detect.load import Detector
from include.detect.windows import text
from include.reconcile.types import as_utc, epoch, from_epoch
from include.warehouse.sql import read_sql

PROVISIONAL, CONFIRMED, RETRACTED, RAISED = "provisional", "confirmed", "retracted", "raised"
EVERY = "*"  # in detector_checks, all detectors of a stream: their files could not be read


@dataclass(frozen=True)
class Alert:
    """An alert in its newest state; start and end in epoch seconds, judged_ms 0 while provisional."""

    detector: str
    stream: str
    start: int
    end: int
    subject: str
    severity: str
    state: str
    evidence: str
    fired_ms: int
    judged_ms: int = 0


def is_prepared(client: Client) -> bool:
    """Say whether the tables are there; before prepare_platform nothing can be judged."""
    return bool(client.execute("EXISTS TABLE alerts")[0][0])


def new_alert(detector: Detector, fired: Fired, state: str, now_ms: int, judged_ms: int = 0) -> Alert:
    """Return the alert of a window that fired for the first time."""
    header = detector.header
    return Alert(
        detector.name,
        header.stream,
        fired.start,
        fired.start + header.window_seconds,
        fired.subject,
        header.severity,
        state,
        fired.evidence,
        now_ms,
        judged_ms,
    )


def write_alerts(client: Client, alerts: Iterable[Alert]) -> int:
    """Insert alerts in one statement; return how many."""
    rows = [
        (
            *(a.detector, a.stream, from_epoch(a.start), from_epoch(a.end), a.subject, a.severity, a.state),
            *(a.evidence, a.fired_ms, a.judged_ms),
        )
        for a in alerts
    ]
    if rows:
        client.execute(
            "INSERT INTO alerts (detector, stream, window_start, window_end, subject, severity, state, evidence, "
            "fired_ms, judged_ms) VALUES",
            rows,
        )
    return len(rows)


def read_alerts(client: Client, detector: str, stream: str, first: int, end: int) -> list[Alert]:
    """Return the alerts of windows that begin in [first, end), each in its newest state."""
    named = {"detector": detector, "stream": stream, "from": text(first), "to": text(end)}
    return _alerts(client.execute(read_sql("detect/alerts.sql"), named))


def critical_alerts(client: Client, since_ms: int) -> list[Alert]:
    """Return the critical alerts that were first found, or judged, since a moment; retracted ones too."""
    return _alerts(client.execute(read_sql("detect/critical.sql"), {"since_ms": since_ms}))


def write_check(
    client: Client,
    detector: str,
    stream: str,
    *,
    windows: int = 0,
    alerts: int = 0,
    failures: int = 0,
    slowest_seconds: float = 0.0,
    error: str = "",
) -> None:
    """Append what a detector did since its last row, or what is wrong with EVERY one of a stream."""
    now = datetime.now(UTC)
    client.execute(
        "INSERT INTO detector_checks (detector, stream, at, day, windows, alerts, failures, slowest_seconds, error) "
        "VALUES",
        [
            (
                *(detector, stream, int(now.timestamp() * 1000), now.date()),
                *(windows, alerts, failures, slowest_seconds, error[:2000]),
            )
        ],
    )


def read_errors(client: Client, since_ms: int) -> dict[tuple[str, str], str]:
    """Return by detector and stream the newest error where the newest check, since a moment, has one."""
    rows = client.execute(read_sql("detect/errors.sql"), {"since_ms": since_ms})
    return {(detector, stream): error for detector, stream, error in rows if error}


def _alerts(rows: Iterable[tuple[object, ...]]) -> list[Alert]:
    return [
        Alert(
            str(row[0]),
            str(row[1]),
            epoch(as_utc(row[2])),  # type: ignore[arg-type]
            epoch(as_utc(row[3])),  # type: ignore[arg-type]
            str(row[4]),
            str(row[5]),
            str(row[6]),
            str(row[7]),
            int(str(row[8])),
            int(str(row[9])),
        )
        for row in rows
    ]
