"""Which incidents critical alerts are: one for the alerts of a subject whose windows follow each other closely.

Derived from the table alerts, so it does not matter who wrote them. An incident names detector, stream, its first
window and the subject in its key. It is over when its alerts are retracted, or no window has followed for a while.
Warnings are rows only. A detector that cannot run is an incident too, and so are those of a stream that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clickhouse_driver import Client
from clickhouse_driver.util.escape import escape_param

from include.alerts.incidents import Incident, open_keys
from include.clock import now_ms
from include.detect.load import Loaded
from include.detect.store import (
    CONFIRMED,
    EVERY,
    PROVISIONAL,
    RAISED,
    RETRACTED,
    Alert,
    critical_alerts,
    read_errors,
)
from include.detect.windows import text
from include.warehouse.sql import read_sql

PREFIX, BROKEN = "alert", "detector"
LOOK_BACK_SECONDS = 86_400
QUIET_SECONDS = 60  # beyond one more window: by then it would have been judged
MOST_TOLD = 20  # new ones in one go
ERROR_SECONDS = 300  # an error that stands is written again every minute
_STATES = {
    PROVISIONAL: "provisional: judged again once their hours are sealed",
    CONFIRMED: "confirmed on the exact figures of sealed hours",
    RAISED: "found on the exact figures of sealed hours",
}


@dataclass(frozen=True)
class Run:
    """Alerts of one detector, stream and subject without a pause between them; ordered, retracted ones among them."""

    alerts: tuple[Alert, ...]

    @property
    def start(self) -> int:
        return self.alerts[0].start

    @property
    def end(self) -> int:
        return max(alert.end for alert in self.alerts if alert.state != RETRACTED)

    @property
    def name(self) -> tuple[str, str, str]:
        return self.alerts[0].detector, self.alerts[0].stream, self.alerts[0].subject

    @property
    def key(self) -> str:
        detector, stream, subject = self.name
        return f"{PREFIX}:{detector}:{stream}:{self.start}:{subject}"

    def is_over(self, now: int) -> bool:
        """Say whether no further window is to be expected; now in epoch seconds."""
        return now > self.end + _pause(self.alerts[0])


def read_incidents(client: Client, loaded: Loaded) -> tuple[list[Incident], list[str]]:
    """Return the incidents that are there, known ones included, and the keys of those that are over.

    Newly found ones are at most MOST_TOLD; the others follow with the next call.
    """
    now = now_ms()
    since = now - LOOK_BACK_SECONDS * 1000
    known = dict(client.execute(read_sql("detect/incidents.sql"), {"since_ms": since}))
    known |= dict.fromkeys(open_keys(client, PREFIX), 0)
    there, over = alert_incidents(critical_alerts(client, since), known, now // 1000)
    broken = _broken(loaded.faults, read_errors(client, now - ERROR_SECONDS * 1000))
    mended = sorted(open_keys(client, BROKEN) - {incident.key for incident in broken})
    return [*there, *broken], [*over, *mended]


def alert_incidents(
    alerts: Iterable[Alert], known: Mapping[str, int], now: int
) -> tuple[list[Incident], list[str]]:
    """Return the incidents that are there and the keys of open ones that are over.

    known: the key of every incident of late -> 1 where it is closed, 0 while it is open; now: epoch seconds.
    """
    there: list[Incident] = []
    new: list[Incident] = []
    alive: set[str] = set()
    for run in runs(alerts):
        key, is_open = _known_as(run, known)
        if key is None:
            new.append(_incident(run, run.key))
        elif is_open and not run.is_over(now):
            there.append(_incident(run, key))
            alive.add(key)
    over = [key for key, closed in sorted(known.items()) if not closed and key not in alive]
    return [*there, *new[:MOST_TOLD]], over


def runs(alerts: Iterable[Alert]) -> list[Run]:
    """Return alerts of one subject joined unless there is a pause; runs of retracted ones alone are left out."""
    joined: list[list[Alert]] = []
    for alert in sorted(alerts, key=lambda a: (a.detector, a.stream, a.subject, a.start)):
        last = joined[-1] if joined else None
        same = last is not None and _name(last[0]) == _name(alert)
        if last is not None and same and alert.start <= last[-1].end + _pause(alert):
            last.append(alert)
        else:
            joined.append([alert])
    return [Run(tuple(found)) for found in joined if any(a.state != RETRACTED for a in found)]


def _pause(alert: Alert) -> int:
    return alert.end - alert.start + QUIET_SECONDS


def _name(alert: Alert) -> tuple[str, str, str]:
    return alert.detector, alert.stream, alert.subject


def _known_as(run: Run, known: Mapping[str, int]) -> tuple[str | None, bool]:
    """Return the key under which a run is known, and whether that incident is open; None where it is new.

    An open one of the same subject that began before the run is the same: what lies between was too long ago to read.
    """
    found: tuple[str | None, bool] = (None, False)
    for key, closed in known.items():
        _, detector, stream, start, subject = key.split(":", 4)
        if (detector, stream, subject) != run.name:
            continue
        if run.start <= int(start) <= run.end or (
            not closed and int(start) < run.start - LOOK_BACK_SECONDS // 2
        ):
            found = key, not closed
            if not closed:
                break
    return found


def _incident(run: Run, key: str) -> Incident:
    detector, stream, subject = run.name
    fired = [alert for alert in run.alerts if alert.state != RETRACTED]
    newest = fired[-1]
    return Incident(
        key=key,
        stream=stream,
        severity=newest.severity,
        title=f"{detector}: {subject} in {stream} since {text(run.start)} UTC",
        message=f"{_said(newest.evidence)}. {len(fired)} {'window' if len(fired) == 1 else 'windows'} fired; these are "
        f"the figures of {text(newest.start)} to {text(newest.end)} UTC, {_STATES.get(newest.state, newest.state)}. "
        f"All of it: SELECT * FROM alerts_current WHERE detector = '{detector}' AND stream = '{stream}' AND "
        f"subject = {escape_param(subject, None)} AND window_start >= '{text(run.start)}'",
    )


def _said(evidence: str) -> str:
    """Return evidence in words: the rule, then each figure by its name."""
    figures = json.loads(evidence)
    rule = figures.pop("rule", "the rule of its file")
    named = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in figures.items())
    return f"Rule: {rule}. Found: {named or 'no figures'}"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _broken(faults: Mapping[str, str], errors: Mapping[tuple[str, str], str]) -> list[Incident]:
    """Return the incidents of files that are wrong, by name, and of what failed in the streaming jobs."""
    of_one = dict(faults) | {name: error for (name, _), error in errors.items() if name != EVERY}
    of_every = {stream: error for (name, stream), error in errors.items() if name == EVERY}
    return [
        *(_does_not_run(name, fault) for name, fault in sorted(of_one.items())),
        *(_none_runs(stream, fault) for stream, fault in sorted(of_every.items())),
    ]


def _does_not_run(name: str, fault: str) -> Incident:
    return Incident(
        key=f"{BROKEN}:{name}",
        stream="",
        severity="warning",
        title=f"detector {name} does not run",
        message=f"{fault}. The other detectors run. What to do: mend sql/detectors/{name}.sql.j2; a streaming job that "
        "runs reads its detectors when it starts (restart_stream).",
    )


def _none_runs(stream: str, fault: str) -> Incident:
    return Incident(
        key=f"{BROKEN}:{EVERY}:{stream}",
        stream=stream,
        severity="warning",
        title=f"no detector of {stream} runs",
        message=f"{fault}. The stream itself goes on, and a seal judges its hours. What to do: mend what could not be "
        "read, among include/contracts and sql; the streaming job tries again every minute.",
    )
