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
}
_FROM_HOUR: Field = {
    "type": ["null", "string"],
    "format": "date-time",
    "title": "From hour",
    "description": "First hour; empty: what needs a judgement.",
}
_TO_HOUR: Field = {
    "type": ["null", "string"],
    "format": "date-time",
    "title": "To hour",
    "description": "Last hour, included; at most 31 days, worked through 24 hours a run.",
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
    "description": "Whether named hours that are proved and unchanged are recounted again; empty: where one hour is named.",
}

# name -> default and schema
FORM: dict[str, tuple[Any, Field]] = {
    "streams": (stream_names(), _STREAMS),
    "from_hour": (None, _FROM_HOUR),
    "to_hour": (None, _TO_HOUR),
    "repair": (AS_SET, _REPAIR),
    "recount_anyway": (None, _RECOUNT_ANYWAY),
}
