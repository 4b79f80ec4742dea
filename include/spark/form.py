"""The fields of the trigger forms that launch, restart and stop streams, and what each form asks for.

Imported when a DAG is parsed: constants only; what reads services is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.contracts import stream_names

Field = dict[str, Any]
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)"

STREAMS: Field = {
    "type": "array",
    "items": {"type": "string", "enum": stream_names()},
    "minItems": 1,
    "examples": stream_names(),
    "title": "Streams",
}
TRIGGER_SECONDS: Field = {
    "type": "number",
    "minimum": 0.2,
    "maximum": 60,
    "title": "Trigger interval",
    "description": "Seconds between micro-batches, 0.2 to 60. Records are served about this much later.",
}
MAX_OFFSETS: Field = {
    "type": "integer",
    "minimum": 1_000,
    "maximum": 1_000_000,
    "title": "Rate limit",
    "description": (
        "Most records that one micro-batch of a stream takes, 1,000 to 1,000,000. The most records a second are this "
        "number divided by the trigger interval, or by the time that a batch takes where that is longer."
    ),
}
START: Field = {
    "type": ["null", "string"],
    "pattern": rf"^(earliest|{_ISO})?$",
    "title": "Start",
    "description": (
        "Leave empty: a stream goes on where its ledger ends, and a new one begins at the earliest record. For a new "
        "stream also earliest or a Kafka time such as 2026-01-01T00:00:00Z; the hour of that time and those before it "
        "are then never proved. For a known one a time past its ledger leaves records out for ever and waits for an "
        "approval; an earlier one is refused."
    ),
}
CONFIRM_REBUILD: Field = {
    "type": "boolean",
    "title": "Confirm rebuild",
    "description": (
        "Only for a stream whose ledger was lost in ClickHouse: count again from the earliest record that Kafka still "
        "has, under a new generation. Hours that were sealed become provisional and count twice until reconcile_hour "
        "has sealed them again; hours whose raw records have expired keep their seal. Changes nothing where nothing "
        "is lost."
    ),
}
LIMIT_SECONDS: Field = {
    "type": "number",
    "minimum": 5,
    "maximum": 600,
    "title": "Limit",
    "description": "Seconds until a driver that does not answer is forced to end, 5 to 600; the report says so.",
}


def optional(field: Field, description: str) -> Field:
    """Return a field that may stay empty."""
    return {**field, "type": ["null", field["type"]], "description": description}


def plan_launch(params: Mapping[str, Any]) -> dict[str, str]:
    """Judge a form of launch_stream: return skip_to for the operator, and the approval's subject and body.

    Raises:
        AirflowFailException: the launch is refused; one line says why.
    """
    from include.refusal import refuse
    from include.settings import get_settings
    from include.spark.start import StartRefusedError
    from include.spark.start_evidence import check_launch
    from include.watch.silence import warn_of_silence

    try:
        plan = check_launch(get_settings(), params)
    except StartRefusedError as error:
        refuse(error)
    warn_of_silence(get_settings())
    total = sum(skip.total for skip in plan.skips)
    streams = ", ".join(skip.stream for skip in plan.skips)
    return {
        "skip_to": plan.skip_to(),
        "subject": f"Leave {total:,} offsets of {streams} out for ever?" if plan.skips else "",
        "body": "\n\n".join(skip.text() for skip in plan.skips),
    }


def plan_restart(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the launches that restart the chosen streams, as arguments of the operator.

    Streams that were last launched together stay together; what the form leaves empty is as it was ordered last.
    """
    from include.settings import get_settings
    from include.spark.orders import last_launches

    settings = get_settings()
    chosen = sorted(set(params["streams"]))
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for stream, order in last_launches(settings, chosen).items():
        together = tuple(name for name in chosen if order is not None and name in order.streams) or (stream,)
        groups.setdefault(
            together,
            {
                "streams": ",".join(together),
                "trigger_seconds": params["trigger_seconds"] or (order.trigger_seconds if order else 1.0),
                "max_offsets": params["max_offsets"] or (order.max_offsets if order else 0),
                "start": order.start if order else "",
            },
        )
    return _disjoint(groups)


def _disjoint(groups: Mapping[tuple[str, ...], dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop a stream from every group but its first: orders may tell of it in two sets."""
    seen: set[str] = set()
    found = []
    for together, arguments in groups.items():
        left = [name for name in together if name not in seen]
        if left:
            found.append({**arguments, "streams": ",".join(left)})
            seen.update(left)
    return found


def stop_one(stream: str, limit_seconds: float, by: str) -> dict[str, Any]:
    """Order and carry out the stop of one stream; return its report."""
    from dataclasses import asdict

    from include.settings import get_settings
    from include.spark.stop import order_stop
    from include.summary import log_summary

    report = asdict(order_stop(get_settings(), stream, limit_seconds, by))
    log_summary(f"stop {stream}: {report['outcome']}{', forced' if report['forced'] else ''}", report)
    return report
