"""Runs a detector on a range of windows.

The detector's SELECT yields the windows that have a verdict: window_start, subject, `fires` (0 or 1) and whatever
else is evidence. It reads the served figures of [from, to), which reach back as far as its rule looks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from clickhouse_driver import Client

from include.detect.load import Detector
from include.detect.windows import text
from include.reconcile.types import as_utc, epoch
from include.warehouse.sql import read_sql

MOST_FIRED = 1_000  # of one statement: a flood of alerts tells no more than this
KEYS = ("window_start", "subject", "fires")


@dataclass(frozen=True)
class Fired:
    """A window that a rule found true for a subject; start in epoch seconds, evidence as JSON."""

    start: int
    subject: str
    evidence: str


def judge(
    client: Client,
    detector: Detector,
    first: int,
    end: int,
    *,
    sealed_only: bool = False,
    limit_seconds: float = 60,
    most: int = MOST_FIRED,
) -> list[Fired]:
    """Return what fires among the windows that begin in [first, end), at most `most` of them.

    Raises:
        clickhouse_driver.errors.ServerException: the SELECT is wrong, or took longer than limit_seconds.
    """
    statement = read_sql("detect/fired.sql.j2", detector_sql=_sql(detector, sealed_only), limit=most)
    rows, columns = client.execute(
        statement, _values(detector, first, end), with_column_types=True, settings=_limits(limit_seconds)
    )
    names = [name for name, _ in columns]
    return [_fired(detector, dict(zip(names, row, strict=True))) for row in rows]


def fault(error: Exception) -> str:
    """Return what a failed statement says, without the server's stack trace."""
    return f"{type(error).__name__}: {error}".split(" Stack trace:")[0].replace("\n", " ")


def count_verdicts(
    client: Client, detector: Detector, first: int, end: int, *, sealed_only: bool = False
) -> tuple[int, int]:
    """Return how many windows and subjects in [first, end) have a verdict, and how many of those fire."""
    statement = read_sql("detect/verdicts.sql.j2", detector_sql=_sql(detector, sealed_only))
    ((judged, fired),) = client.execute(statement, _values(detector, first, end), settings=_limits(60))
    return judged, fired


def _sql(detector: Detector, sealed_only: bool) -> str:
    return detector.sealed_sql if sealed_only else detector.sql


def _values(detector: Detector, first: int, end: int) -> dict[str, str]:
    read = {"from": text(first - detector.header.reads_back_seconds), "to": text(end)}
    return {**read, "judge_from": text(first), "judge_to": text(end)}


def _limits(seconds: float) -> dict[str, int]:
    return {"max_execution_time": max(1, round(seconds))}


def _fired(detector: Detector, row: dict[str, Any]) -> Fired:
    start = epoch(as_utc(row["window_start"]))
    evidence = {"rule": detector.header.rule} | {
        name: _plain(value) for name, value in row.items() if name not in KEYS
    }
    return Fired(start, str(row["subject"]), json.dumps(evidence, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return value
