"""What is wrong with a trigger form, in words."""

from __future__ import annotations

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
