"""The table `stream_checks`: one row for each check and stream, and what earlier rows say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from clickhouse_driver import Client

from include.warehouse.sql import read_sql
from include.watch.types import Check


@dataclass(frozen=True)
class Past:
    """An earlier check; at is epoch milliseconds, ends are Kafka's end offsets then."""

    at: int
    verdict: str
    action: str
    ends: dict[int, int]
    broken: str


def write(client: Client, checks: Sequence[Check]) -> None:
    """Append one row for each check."""
    rows = [_row(check) for check in checks]
    if rows:
        client.execute(f"INSERT INTO stream_checks ({', '.join(rows[0])}) VALUES", rows)


def history(client: Client, stream: str, since: int) -> list[Past]:
    """Return the checks of a stream since a moment, epoch milliseconds, oldest first."""
    values = {"stream": stream, "since": since, "day": day_of(since)}
    rows = client.execute(read_sql("watch/history.sql"), values)
    return [
        Past(at, verdict, action, dict(zip(partitions, ends, strict=True)), broken)
        for at, verdict, action, partitions, ends, broken in rows
    ]


def gave_up_at(client: Client, stream: str, since: int) -> int:
    """Return when the watcher first gave up the stream after a moment, both epoch milliseconds; 0 if it did not."""
    values = {"stream": stream, "since": since, "day": day_of(since)}
    return int(client.execute(read_sql("watch/gave_up.sql"), values)[0][0])


def last_check(client: Client, since: int) -> int:
    """Return when the watcher last looked at any stream, its day not before `since`, epoch milliseconds; 0 if never."""
    return int(client.execute(read_sql("watch/last_check.sql"), {"day": day_of(since)})[0][0])


def _row(check: Check) -> dict[str, object]:
    seen = check.seen
    return {
        "stream": seen.stream,
        "at": seen.at,
        "day": day_of(seen.at),
        "verdict": check.judged.verdict,
        "reason": "; ".join(filter(None, (check.judged.reason, check.note))),
        "action": check.action,
        "wanted": int(seen.wanted),
        "generation": seen.beat.generation if seen.beat else 0,
        "batch": seen.batch,
        "drivers": [carrier.driver for carrier in seen.carriers],
        "applications": seen.applications,
        "heartbeat_seconds": seen.beat_seconds,
        "commit_seconds": seen.commit_seconds,
        "waiting_seconds": seen.waiting_seconds,
        "freshness_seconds": seen.freshness_seconds,
        "lag": seen.lag,
        "partitions": list(seen.ends),
        "frontiers": [seen.frontiers.get(partition, 0) for partition in seen.ends],
        "ends": list(seen.ends.values()),
        "restarts": seen.restarts,
        "relaunches": seen.relaunches,
        "mismatches": [str(item) for item in seen.mismatches],
        "broken": "; ".join(filter(None, (seen.master_error, seen.kafka_error))),
    }


def day_of(epoch_ms: int) -> date:
    """Return the UTC day of a moment in epoch milliseconds."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).date()
