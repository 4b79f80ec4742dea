"""Judges alerts for good, once every hour that they used is sealed.

Derived from the certificates in force: an hour whose certificate a detector has not judged yet is taken up,
whichever run sealed it, so that running it again, or after a failure, does what is left and nothing twice. The same
SQL as in the stream, on sealed figures alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from include.clock import now_ms
from include.detect.judge import Fired, fault, judge
from include.detect.load import Detector, Loaded, load_detectors
from include.detect.store import (
    CONFIRMED,
    RAISED,
    RETRACTED,
    Alert,
    is_prepared,
    new_alert,
    read_alerts,
    write_alerts,
    write_check,
)
from include.detect.windows import hours_of, starts, statements, text
from include.reconcile.types import as_utc, epoch, from_epoch
from include.settings import Settings
from include.streaming.waiting import passes_with_time
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

RECENT = timedelta(days=2)  # certificates older than this are not taken up, as after a detector was added
UNJUDGED = timedelta(days=7)  # alerts that no seal has judged are looked at again for so long
MOST_FIRED = 100_000


@dataclass(frozen=True)
class Sealed:
    """The certified hours of a stream by their starts, each with (frontier, seal), and those certified recently."""

    certificates: Mapping[int, tuple[int, int]]
    recent: Collection[int]
    first: int

    def covers(self, hours: Iterable[int]) -> bool:
        """Say whether each hour is certified, or lies before the stream's first."""
        return all(hour in self.certificates or hour < self.first for hour in hours)


def judge_sealed(settings: Settings, loaded: Loaded | None = None) -> list[Alert]:
    """Judge what has been sealed since the last call; return the alerts whose state or evidence is new."""
    loaded = load_detectors() if loaded is None else loaded
    for name, said in loaded.faults.items():
        log.error("detector %s is left out: %s", name, said)
    client = connect(settings)
    changed: list[Alert] = []
    try:
        if not is_prepared(client):
            log.warning("there is no table alerts yet: no alert is judged; trigger prepare_platform")
            return []
        for detector in loaded.detectors.values():
            try:
                changed += _judge_detector(client, detector)
            except ServerException as error:
                if passes_with_time(error):
                    raise
                log.error("detector %s failed on sealed figures: %s", detector.name, fault(error))
                write_check(client, detector.name, detector.header.stream, failures=1, error=fault(error))
    finally:
        client.disconnect()
    for (name, state), count in sorted(Counter((item.detector, item.state) for item in changed).items()):
        log.info("%s: %d %s on sealed figures; the view alerts_current names each", name, count, state)
    return changed


def settle(detector: Detector, there: Iterable[Alert], fired: Iterable[Fired], at_ms: int) -> list[Alert]:
    """Return the alerts that change: those that are there, and what the exact figures of their windows say."""
    known = {(alert.start, alert.subject): alert for alert in there}
    changed = []
    for found in fired:
        had = known.pop((found.start, found.subject), None)
        if had is None:
            changed.append(new_alert(detector, found, RAISED, at_ms, at_ms))
            continue
        state = RAISED if had.state in (RETRACTED, RAISED) else CONFIRMED
        if (state, found.evidence) != (had.state, had.evidence):
            changed.append(_judged(replace(had, state=state, evidence=found.evidence), at_ms))
    changed += [
        _judged(replace(had, state=RETRACTED), at_ms) for had in known.values() if had.state != RETRACTED
    ]
    return changed


def _judged(alert: Alert, at_ms: int) -> Alert:
    return replace(alert, judged_ms=max(at_ms, alert.judged_ms + 1))


def _judge_detector(client: Client, detector: Detector) -> list[Alert]:
    header, names = detector.header, {"detector": detector.name, "stream": detector.header.stream}
    sealed = _sealed(client, header.stream)
    judged = {
        epoch(as_utc(hour)): (frontier, seal)
        for hour, frontier, seal in client.execute(read_sql("detect/judged.sql"), names)
    }
    hours = [hour for hour in sorted(sealed.recent) if judged.get(hour) != sealed.certificates[hour]]
    since = text(epoch(datetime.now(UTC) - UNJUDGED))
    found = client.execute(read_sql("detect/provisional.sql"), {**names, "since": since})
    left = [epoch(as_utc(start)) for (start,) in found]
    if not hours and not left:
        return []
    changed: list[Alert] = []
    for first, end in statements(header, _complete(client, detector, sealed, hours, left)):
        fired = judge(client, detector, first, end, sealed_only=True, most=MOST_FIRED)
        there = read_alerts(client, detector.name, header.stream, first, end)
        changed += settle(detector, there, fired, now_ms())
    write_alerts(client, changed)
    _note_judged(client, detector, [(hour, *sealed.certificates[hour]) for hour in hours])
    return changed


def _sealed(client: Client, stream: str) -> Sealed:
    named = {"stream": stream, "since": text(epoch(datetime.now(UTC) - RECENT))}
    rows = client.execute(read_sql("detect/certified.sql"), named)
    certificates = {epoch(as_utc(hour)): (frontier, seal) for hour, frontier, seal, _ in rows}
    recent = {epoch(as_utc(hour)) for hour, _, _, is_recent in rows if is_recent}
    ((moment,),) = client.execute(read_sql("detect/first_hour.sql"), named)
    known = [*certificates, epoch(as_utc(moment))]
    return Sealed(certificates, recent, min((hour for hour in known if hour > 0), default=0))


def _complete(
    client: Client, detector: Detector, sealed: Sealed, hours: list[int], left: list[int]
) -> set[int]:
    """Return the windows that use one of the hours, or have an unjudged alert, and use nothing that is not sealed."""
    header = detector.header
    if detector.cube.arrival_seconds is not None:
        used = {
            start: by for start, by in _arrivals(client, detector, hours, left).items() if sealed.covers(by)
        }
        wanted = set(hours)
        return {start for start, by in used.items() if start in left or wanted & set(by)}
    touched = {
        start
        for hour in hours
        for start in starts(header, hour - header.window_seconds + 1, hour + 3600 + header.reads_back_seconds)
    }
    return {start for start in touched | set(left) if sealed.covers(hours_of(header, start))}


def _arrivals(client: Client, detector: Detector, hours: list[int], left: list[int]) -> dict[int, list[int]]:
    """Return the hours of event time of what arrived when events of these hours may have arrived."""
    age = detector.contract.maximum_age_hours * 3600
    skew = detector.contract.skew_seconds
    first, end = (
        min([*(hour - skew for hour in hours), *left]),
        max([*(h + 3600 + age for h in hours), *left]),
    )
    bounds = {
        "arrived_from": first,
        "arrived_to": end + 3600,
        "from": first - age - 3600,
        "to": end + 3600 + skew,
    }
    rows = client.execute(
        read_sql("detect/arrivals.sql.j2", cube=detector.cube),
        {name: text(max(0, moment)) for name, moment in bounds.items()},
    )
    return {epoch(as_utc(start)): [epoch(as_utc(hour)) for hour in used] for start, used in rows}


def _note_judged(client: Client, detector: Detector, hours: list[tuple[int, int, int]]) -> None:
    if hours:
        client.execute(
            "INSERT INTO alert_judgements (detector, stream, hour, frontier, seal, judged_ms) VALUES",
            [
                (detector.name, detector.header.stream, from_epoch(hour), *force, now_ms())
                for hour, *force in hours
            ],
        )
