"""What the trigger form of replay_dead_letters chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.contracts.classifier import REASONS
from include.forms import FormError, field_time
from include.replay.letters import LAST_MS, Choice


def parse_choice(params: Mapping[str, Any]) -> Choice:
    """Return the choice of a form: reasons, from_time and to_time (ISO 8601 or None, UTC when no offset is given).

    Raises:
        FormError: a reason is not known, a time is not ISO 8601, or the times hold nothing between them.
    """
    unknown = sorted(set(params["reasons"]) - set(REASONS))
    if unknown or not params["reasons"]:
        raise FormError(f"reasons {unknown or params['reasons']!r}: choose from {', '.join(REASONS)}")
    start, end = _ms("from_time", params["from_time"], -1), _ms("to_time", params["to_time"], LAST_MS)
    if start >= end:
        raise FormError(f"nothing is between from_time {params['from_time']} and to_time {params['to_time']}")
    return Choice(tuple(sorted(set(params["reasons"]))), start, end)


def _ms(name: str, text: str | None, otherwise: int) -> int:
    if not text:
        return otherwise
    return int(field_time(name, text).timestamp() * 1000)
