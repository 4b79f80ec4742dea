"""Where in a run its incident lies, and which alerts it must raise.

Owns: the minute, and the facts that a test expects. Leaves to others: which incidents there are
(shapes.py), adding their records (schedule.py), what they look like (the stream's generator).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from include.traffic.plan import MINUTE_SECONDS, TrafficPlan

MINUTE_US = MINUTE_SECONDS * 1_000_000


@dataclass(frozen=True)
class ExpectedAlert:
    """An alert's identity, as the detectors give it; the window is [start, end), in UTC."""

    detector: str
    stream: str
    window_start: datetime
    window_end: datetime
    subject: str


@dataclass(frozen=True)
class IncidentFacts:
    """What went wrong, with whom, in which clock minute of arrival, and the alerts that must follow."""

    incident: str
    subject: str
    minute: datetime
    alerts: tuple[ExpectedAlert, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts with times as ISO 8601 text, fit for JSON."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            if isinstance(value, tuple | list):
                return [plain(item) for item in value]
            return value.isoformat() if isinstance(value, datetime) else value

        return {key: plain(value) for key, value in asdict(self).items()}


def incident_minute_us(plan: TrafficPlan, start_us: int) -> int:
    """Return the start, epoch microseconds, of the whole clock minute that holds the incident of a run.

    The middle one of the run, or later where more calm minutes must come before it.
    """
    first = -(-start_us // MINUTE_US)
    whole = (start_us + round(plan.duration * 1e6)) // MINUTE_US - first
    return (first + max(plan.calm_minutes, whole // 2)) * MINUTE_US


def facts_of(
    stream: str, incident: str, minute_us: int, subject: str, detectors: Mapping[str, tuple[int, int]]
) -> IncidentFacts:
    """Return the facts of an incident: each detector fires for every window that holds its whole minute.

    `detectors` maps to the length and the slide of the windows, in seconds; windows align to the epoch.
    """
    minute = minute_us // 1_000_000
    expected = []
    for detector, (seconds, slide) in detectors.items():
        for start in range(minute // slide * slide, minute + MINUTE_SECONDS - seconds - 1, -slide):
            begin, end = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(start + seconds, UTC)
            expected.append(ExpectedAlert(detector, stream, begin, end, subject))
    return IncidentFacts(incident, subject, datetime.fromtimestamp(minute, UTC), tuple(expected))
