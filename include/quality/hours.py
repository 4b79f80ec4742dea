"""Which hours a check is about: those that a form names, or the newest certified ones."""

from __future__ import annotations

from datetime import UTC, datetime

from clickhouse_driver import Client

from include.forms import field_hour

HOUR_FORMAT = "%Y-%m-%dT%H"
NEWEST_HOURS = 3


class NothingToCheckError(LookupError):
    """No hour was named and none is certified yet."""


def parse_hours(text: str) -> list[datetime]:
    """Return the hours of a text such as `2026-01-01T05, 2026-01-01T06` (UTC), sorted, each once.

    Raises:
        FormError: a part is not of the form YYYY-MM-DDTHH.
    """
    return sorted({field_hour("hour", part, HOUR_FORMAT) for part in text.replace(",", " ").split()})


def newest_certified_hours(client: Client, stream: str, count: int = NEWEST_HOURS) -> list[datetime]:
    """Return the newest hours that have a certificate, oldest first (aware UTC)."""
    rows = client.execute(
        "SELECT DISTINCT hour FROM certificates WHERE stream = %(stream)s ORDER BY hour DESC LIMIT %(count)s",
        {"stream": stream, "count": count},
    )
    return sorted(hour.replace(tzinfo=UTC) for (hour,) in rows)
