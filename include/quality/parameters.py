"""The limits of a suite, taken from the stream's contract when it runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import prod
from typing import Any

from include.contracts import Contract
from include.quality.sample import MOST_RECORDS

HOUR = timedelta(hours=1)


def expectation_parameters(contract: Contract, hour: datetime) -> dict[str, Any]:
    """Return what {"$PARAMETER": name} in a suite stands for, for one hour (naive or aware UTC, on the hour).

    `<field>_allowed`, `<field>_minimum`, `<field>_maximum` (in the field's own unit), `<field>_min_length`;
    `pane_seconds` of the stream's first cube; `first_window` and `last_window`, the starts of the hour's first and
    last pane (UTC); `rows_maximum`, panes of the hour times combinations of that cube's dimensions, where all have a
    fixed list; `delay_minimum` and `delay_maximum`, seconds from an event's time to its Kafka timestamp;
    `lateness_seconds`, from which on it is late; `sample_maximum`, records of a sample of the raw log.
    """
    cube = contract.cubes[0]
    parameters: dict[str, Any] = {}
    for name, rule in contract.fields.items():
        if rule.allowed is not None:
            parameters[f"{name}_allowed"] = list(rule.allowed)
        if rule.minimum is not None:
            parameters[f"{name}_minimum"] = rule.minimum
        if rule.maximum is not None:
            parameters[f"{name}_maximum"] = rule.maximum
        if rule.min_length is not None:
            parameters[f"{name}_min_length"] = rule.min_length
    parameters["delay_minimum"] = -contract.skew_seconds
    parameters["delay_maximum"] = contract.maximum_age_hours * 3600
    parameters["lateness_seconds"] = contract.lateness_seconds
    parameters["sample_maximum"] = MOST_RECORDS
    first = hour.replace(tzinfo=None)
    parameters["pane_seconds"] = cube.pane_seconds
    parameters["first_window"] = first
    parameters["last_window"] = first + HOUR - timedelta(seconds=cube.pane_seconds)
    allowed = [contract.fields[name].allowed if name in contract.fields else None for name in cube.dimensions]
    if all(values is not None for values in allowed):
        parameters["rows_maximum"] = (
            3600 // cube.pane_seconds * prod(len(v) for v in allowed if v is not None)
        )
    return parameters
