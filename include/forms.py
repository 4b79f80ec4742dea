"""What is wrong with a trigger form, in words, and the times that its fields hold."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError


class FormError(ValueError):
    """A field of a form makes no sense; the message names it and its value."""


def faults(error: ValidationError) -> str:
    """Return every refused field, its value and why, in one line."""
    found = []
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        place = ".".join(map(str, fault["loc"]))
        found.append(f"{place} = {fault['input']!r}: {message}" if place else message)
    return "; ".join(found)


def field_time(name: str, text: str) -> datetime:
    """Return the time of a field, ISO 8601, in UTC; one without an offset is UTC.

    Raises:
        FormError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FormError(f"{name} {text!r} is no ISO 8601 time, such as 2026-01-01T05:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def field_hour(name: str, text: str, pattern: str = "%Y-%m-%dT%H") -> datetime:
    """Return the hour (UTC) of a field that is written by a pattern of strptime.

    Raises:
        FormError: it is not written so, or there is no such hour.
    """
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=UTC)
    except ValueError as error:
        example = datetime(2026, 1, 1, 5).strftime(pattern)
        raise FormError(f"{name} {text!r} is no hour of UTC, such as {example}") from error
