"""What people are told of hours that are not proved: one incident for the hours of a stream that failed alike.

Derived from the newest verdict of each hour, so it does not matter which run found it. An incident
names its hours in its key and is over when each of them is verified. An hour that was repaired at
once is no incident: its certificate and the table `differences` say what was wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clickhouse_driver import Client

from include.alerts.incidents import Incident
from include.reconcile.approval import WAITS
from include.reconcile.closing import closes_at
from include.reconcile.types import DRIFTED, OPEN, UNPROVABLE, as_utc
from include.warehouse.sql import read_sql

CLOSED_WITHIN = timedelta(hours=2)  # after the moment at which an hour can be closed
CRITICAL, WARNING = "critical", "warning"
PREFIX = "hours"
MOST_NAMED = 5
_TO_DO = {
    WAITS: "approve or reject the repair under Required Actions",
    DRIFTED: "trigger reconcile_hour for these hours with repair auto, or with ask to see the figures first",
    UNPROVABLE: "nothing can prove these hours any more; find out why their raw records expired unread or unproved",
    OPEN: "see in Airflow whether watch_stream reports the stream; it must fold what is in the topic",
}


@dataclass(frozen=True)
class BadHour:
    """An hour whose newest verdict is no proof; certified: an earlier certificate stays in force."""

    stream: str
    hour: datetime
    verdict: str
    reason: str
    missing: int
    excess: int
    mismatched: int
    run: str
    certified: bool


def read_bad_hours(client: Client, lateness_seconds: Mapping[str, int], now: datetime) -> list[BadHour]:
    """Return what people must know of; an OPEN hour only CLOSED_WITHIN after it could be closed."""
    found = []
    for stream, lateness in lateness_seconds.items():
        rows = client.execute(read_sql("reconcile/bad_hours.sql"), {"stream": stream})
        for moment, verdict, reason, missing, excess, mismatched, run, certified in rows:
            hour = as_utc(moment)
            if verdict != OPEN or now >= closes_at(hour, lateness) + CLOSED_WITHIN:
                counts = (missing, excess, mismatched)
                found.append(BadHour(stream, hour, verdict, reason, *counts, run, bool(certified)))
    return found


def incidents(
    bad: Iterable[BadHour], open_keys: Collection[str], evidence: str
) -> tuple[list[Incident], list[str]]:
    """Return the incidents that are there, known ones included, and the keys of those that are over.

    evidence: where certificates are and which run of which DAG looked, for the messages.
    """
    groups: dict[tuple[str, str], dict[datetime, BadHour]] = {}
    for item in bad:
        groups.setdefault((item.verdict, item.stream), {})[item.hour] = item
    there: list[Incident] = []
    over: list[str] = []
    for key in sorted(key for key in open_keys if key.startswith(f"{PREFIX}:")):
        _, verdict, stream, listed = key.split(":", 3)
        group = groups.get((verdict, stream), {})
        hours = [datetime.fromisoformat(f"{text}:00+00:00") for text in listed.split(",")]
        still = [found for hour in hours if (found := group.pop(hour, None)) is not None]
        if still:
            there.append(_incident(key, still, evidence))
        else:
            over.append(key)
    for (verdict, stream), group in sorted(groups.items()):
        if group:
            new = [group[hour] for hour in sorted(group)]
            named = ",".join(_text(item) for item in new)
            there.append(_incident(f"{PREFIX}:{verdict}:{stream}:{named}", new, evidence))
    return there, over


def _incident(key: str, hours: Sequence[BadHour], evidence: str) -> Incident:
    stream, verdict = hours[0].stream, hours[0].verdict
    waits = all(item.reason.startswith(WAITS) for item in hours)
    intact = all(item.certified for item in hours)
    named = ", ".join(_text(item) for item in hours[:MOST_NAMED])
    more = f" and {len(hours) - MOST_NAMED} more hours" if len(hours) > MOST_NAMED else ""
    what = (
        "waits for an approval of its repair"
        if waits
        else f"is {verdict}"
        if verdict != OPEN
        else "does not close"
    )
    said = "; ".join(
        f"{_text(item)} (missing {item.missing}, excess {item.excess}, mismatched {item.mismatched}; "
        f"run {item.run}): {item.reason}"
        for item in hours[:MOST_NAMED]
    )
    return Incident(
        key=key,
        stream=stream,
        severity=WARNING if waits or verdict == OPEN or (verdict == UNPROVABLE and intact) else CRITICAL,
        title=f"{stream} {named}{more} {what}",
        message=f"{said}{more}. It is not mended. Evidence: tables verdicts and differences by stream and hour, "
        f"{evidence}. What to do: {_TO_DO[WAITS if waits else verdict]}.",
    )


def _text(item: BadHour) -> str:
    return f"{item.hour:%Y-%m-%dT%H}"
