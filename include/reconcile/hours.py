"""Which hours a run takes up: those asked for or, by default, those that need a judgement. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from include.reconcile.closing import closes_at
from include.reconcile.types import HOUR, UNPROVABLE, Certificate

MOST_HOURS = 24


@dataclass(frozen=True)
class StreamHistory:
    """What is known of a stream's hours. later: hour -> highest valid batch among its deltas and ledger rows;
    digests: (hour, frontier, seal) -> digest of the sealed rows, for hours at or past digests_from;
    mended: hour -> number of the last repair of ledger rows that list it."""

    first: datetime | None
    certificates: Mapping[datetime, Certificate]
    later: Mapping[datetime, int]
    digests: Mapping[tuple[datetime, int, int], str]
    digests_from: datetime
    last_verdicts: Mapping[datetime, str]
    mended: Mapping[datetime, int] = field(default_factory=dict)


def asked_hours(start: datetime, end: datetime) -> list[datetime]:
    """Return the hours from `start` to `end`, both included.

    Raises:
        ValueError: the range is empty or longer than MOST_HOURS.
    """
    count = (end - start) // HOUR + 1
    if not 1 <= count <= MOST_HOURS:
        raise ValueError(
            f"{start:%Y-%m-%dT%H} to {end:%Y-%m-%dT%H} are {count} hours: one run takes 1 to {MOST_HOURS}"
        )
    return [start + HOUR * index for index in range(count)]


def needs_judgement(hour: datetime, history: StreamHistory) -> bool:
    """Whether an hour is not certified, or has changed since it was, or its sealed rows have."""
    certificate = history.certificates.get(hour)
    if certificate is None:
        return history.last_verdicts.get(hour) != UNPROVABLE
    if history.later.get(hour, 0) > certificate.frontier or history.mended.get(hour, 0) > certificate.seal:
        return True
    if hour < history.digests_from:
        return False
    return history.digests.get((hour, certificate.frontier, certificate.seal), "") != certificate.digest


def due_hours(history: StreamHistory, now: datetime, lateness_seconds: int) -> list[datetime]:
    """Return the hours that need a judgement and may be closed: never judged first, then oldest first."""
    if history.first is None:
        return []
    hour, due = history.first, []
    while closes_at(hour, lateness_seconds) <= now:
        if needs_judgement(hour, history):
            due.append(hour)
        hour += HOUR
    due.sort(key=lambda item: (item in history.last_verdicts, item))
    return sorted(due[:MOST_HOURS])
