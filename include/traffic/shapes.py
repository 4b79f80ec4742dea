"""What is typical of each stream: its load, its rhythm over the day, and what can go wrong in its world.

Owns: the table. A stream that is not in it is flat, at DEFAULT's rate, and has no incident.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Incident:
    """Something that goes wrong in one clock minute of a run.

    `history_minutes` whole minutes of calm come before it. `extra` records are added to the load, spread over the
    minute; they happened `delay_seconds` before they arrive.
    """

    title: str
    history_minutes: int = 0
    extra: int = 0
    delay_seconds: int = 0


@dataclass(frozen=True)
class Shape:
    """Typical records per second, and by which part of it the load swings over a day; incidents by name."""

    rate: float = 50.0
    swing: float = 0.0
    incidents: dict[str, Incident] = field(default_factory=dict)


DEFAULT = Shape()
SHAPES = {
    "ad_events": Shape(rate=82.0),
    "user_events": Shape(
        rate=30.0,
        swing=0.4,
        incidents={
            "wild_user": Incident("a user sends 120 events in a minute", extra=120),
            "offline_phone": Incident(
                "a phone delivers 12 events 15 minutes late", extra=12, delay_seconds=900
            ),
        },
    ),
    "logs": Shape(
        rate=50.0,
        swing=0.4,
        incidents={
            "slow_service": Incident("a service answers five times as slowly", history_minutes=4),
            "error_burst": Incident("a service fails two requests of five", history_minutes=1),
            "scanning_ip": Incident("an address asks every service, 1,500 times in a minute", extra=1500),
            "ddos": Incident("an address with 3 users asks one service 400 times in a minute", extra=400),
        },
    ),
}
INCIDENTS = tuple(name for shape in SHAPES.values() for name in shape.incidents)


def shape_of(stream: str) -> Shape:
    """Return what is typical of a stream."""
    return SHAPES.get(stream, DEFAULT)
