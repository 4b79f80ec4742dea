"""The fields of the trigger form of reconcile_hour. Imported when the DAG is parsed: constants only."""

from __future__ import annotations

from typing import Any

from include.contracts import stream_names

Field = dict[str, Any]
AS_SET = "as set"  # the repair mode of the setting PLATFORM_REPAIR

_STREAMS: Field = {
    "type": "array",
    "items": {"type": "string", "enum": stream_names()},
    "minItems": 1,
    "examples": stream_names(),
    "title": "Streams",
    "description": "Whose hours are judged.",
}
_FROM_HOUR: Field = {
    "type": ["null", "string"],
    "format": "date-time",
    "title": "From hour",
    "description": "First hour, UTC; empty: whatever needs a judgement. Minutes are ignored.",
}
_TO_HOUR: Field = {
    "type": ["null", "string"],
    "format": "date-time",
    "title": "To hour",
    "description": "Last hour, included; empty: the first alone. At most 31 days, worked through 24 hours a run.",
}
_REPAIR: Field = {
    "type": "string",
    "enum": [AS_SET, "auto", "ask", "never"],
    "title": "Repair",
    "description": "auto: mend what differs. ask: a person approves it first, under Required Actions. never: report "
    "DRIFTED, change nothing. as set: the setting PLATFORM_REPAIR.",
}
_RECOUNT_ANYWAY: Field = {
    "type": ["null", "boolean"],
    "enum": [None, True, False],
    "title": "Recount anyway",
    "description": "Off: an hour that is proved and unchanged is recounted again only where it alone is named. "
    "On: every named hour is.",
}

# name -> default and schema
FORM: dict[str, tuple[Any, Field]] = {
    "streams": (stream_names(), _STREAMS),
    "from_hour": (None, _FROM_HOUR),
    "to_hour": (None, _TO_HOUR),
    "repair": (AS_SET, _REPAIR),
    "recount_anyway": (None, _RECOUNT_ANYWAY),
}
