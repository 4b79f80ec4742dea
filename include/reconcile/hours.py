"""Which hours a run takes up: those asked for or, by default, those that need a judgement. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from include.forms import FormError
from include.reconcile.closing import closes_at
from include.reconcile.types import HOUR, UNPROVABLE, Certificate

MOST_HOURS = 24  # of a stream in one run
MOST_RANGE = timedelta(days=31)  # of a form, worked through run by run
AGED = timedelta(hours=24)  # an older hour is sealed again for late events at most this often


@dataclass(frozen=True)
class StreamHistory:
    """What is known of a stream's hours. later: hour -> highest valid batch among its deltas and ledger rows;
    digests: (hour, frontier, seal) -> digest of the sealed rows, for hours at or past digests_from;
    mended: hour -> number of the last repair of ledger rows that list it; unfilled: certified before a cube or measure
    of today's contract was there, and Kafka still has their records; certified_at: hour -> its last certificate;
    unproved: hour -> batch up to which late events are listed as amendments that cannot be proved;
    waiting: hours whose repair waits for a person, or was rejected by one and nothing has changed since."""

    first: datetime | None
    certificates: Mapping[datetime, Certificate]
    later: Mapping[datetime, int]
    digests: Mapping[tuple[datetime, int, int], str]
    digests_from: datetime
    last_verdicts: Mapping[datetime, str]
    mended: Mapping[datetime, int] = field(default_factory=dict)
    unfilled: frozenset[datetime] = frozenset()
    certified_at: Mapping[datetime, datetime] = field(default_factory=dict)
    unproved: Mapping[datetime, int] = field(default_factory=dict)
    waiting: frozenset[datetime] = frozenset()


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


def first_part(start: datetime, end: datetime) -> tuple[datetime, datetime | None]:
    """Return the last hour of what one run takes of a range, and the hour that the next run goes on with, if any.

    Raises:
        FormError: the range is empty or longer than MOST_RANGE.
    """
    if not start <= end < start + MOST_RANGE:
        raise FormError(
            f"{start:%Y-%m-%dT%H} to {end:%Y-%m-%dT%H}: a range has 1 to {MOST_RANGE // HOUR} hours, oldest first"
        )
    last = min(end, start + HOUR * (MOST_HOURS - 1))
    return last, last + HOUR if last < end else None


def needs_judgement(hour: datetime, history: StreamHistory, now: datetime, asked: bool = False) -> bool:
    """Whether an hour is not certified, or has changed since it was, or its sealed rows have.

    Not while its repair waits for a person. An UNPROVABLE one is looked at again for further late events and for
    sealed rows that changed. Late events alone make an hour of more than a day wait until its newest certificate is
    a day old, unless it was asked for.
    """
    certificate = history.certificates.get(hour)
    unprovable = history.last_verdicts.get(hour) == UNPROVABLE
    if hour in history.waiting:
        return False
    if certificate is None:
        return not unprovable
    if _is_altered(hour, history, certificate):
        return True
    if not unprovable and (history.mended.get(hour, 0) > certificate.seal or hour in history.unfilled):
        return True
    if history.later.get(hour, 0) > max(certificate.frontier, history.unproved.get(hour, 0)):
        return asked or not _is_resting(hour, history, now)
    return False


def _is_altered(hour: datetime, history: StreamHistory, certificate: Certificate) -> bool:
    found = history.digests.get((hour, certificate.frontier, certificate.seal), "")
    return hour >= history.digests_from and found != certificate.digest


def _is_resting(hour: datetime, history: StreamHistory, now: datetime) -> bool:
    certified = history.certified_at.get(hour)
    return certified is not None and hour + HOUR + AGED <= now < certified + AGED


def due_hours(history: StreamHistory, now: datetime, lateness_seconds: int) -> list[datetime]:
    """Return the hours that need a judgement and may be closed: never judged first, then oldest first.

    Looked at is every hour from the first on; of those before, which somebody has named, the certified ones.
    """
    hours = {hour for hour in history.certificates if closes_at(hour, lateness_seconds) <= now}
    hour = history.first
    while hour is not None and closes_at(hour, lateness_seconds) <= now:
        hours.add(hour)
        hour += HOUR
    due = [hour for hour in hours if needs_judgement(hour, history, now)]
    due.sort(key=lambda item: (item in history.last_verdicts, item))
    return sorted(due[:MOST_HOURS])
