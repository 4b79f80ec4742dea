"""Contracts that no stream has: their names, rules and kinds of figures are meant to get in the way."""

from __future__ import annotations

from typing import Any

from include.contracts import Contract

ODD: dict[str, Any] = {
    "stream": "surprises",
    "version": 1,
    "topic": {"name": "surprises", "partitions": 3, "config": {"retention.ms": -1}},
    "event_time": {"field": "time_us", "encoding": "iso8601_utc"},
    "identity": ["reason", "hour"],
    "lateness_seconds": 0,
    "skew_seconds": 0,
    "maximum_age_hours": 24 * 365,
    "fields": {
        "value": {"type": "number", "minimum": -1000.5, "maximum": 1000, "scale": 3},
        "ratio": {"type": "number", "minimum": 0, "maximum": 1, "scale": 9},
        "clean": {"type": "number", "minimum": 0, "maximum": 1_000_000, "scale": 0},
        "time_us": {"type": "string"},
        "hour": {"type": "string", "allowed": ["a", "it's", 'quo"te', "ü", "", " a", "A"]},
        "reason": {"type": "string", "min_length": 3},
        "text": {"type": "string"},
    },
    "rules": [
        {"field": "value", "when": {"hour": "a"}, "above": -5},
        {"field": "clean", "when": {"hour": "ü", "text": "U1"}, "equals": 7},
    ],
    "cubes": [
        {
            "name": "surprises",
            "pane_seconds": 900,
            "dimensions": ["hour"],
            "measures": [
                {"name": "records", "kind": "count"},
                {"name": "ratio", "kind": "sum", "field": "ratio"},
            ],
        }
    ],
}
# Every kind of field, dimension and measure, in JSON and in access-log lines.
WIDE: dict[str, Any] = {
    "stream": "wide",
    "version": 1,
    "topic": {"name": "wide", "partitions": 3, "config": {"retention.ms": -1}},
    "formats": ["json", "apache_common", "nginx_combined"],
    "event_time": {"field": "at", "encoding": "epoch_ms"},
    "identity": ["request_id"],
    "lateness_seconds": 30,
    "skew_seconds": 5,
    "maximum_age_hours": 24 * 7,
    "fields": {
        "at": {"type": "integer", "minimum": 0, "maximum": 4_291_747_199_999},
        "status_code": {"type": "integer", "minimum": 100.5, "maximum": 599.5},
        "service": {"type": "string", "min_length": 2},
        "level": {"type": "string", "required": False, "allowed": ["INFO", "ERROR", "it's"]},
        "ip_address": {"type": "string", "format": "ip"},
        "user_id": {"type": "string", "required": False, "min_length": 3},
        "request_id": {"type": "string", "required": False},
        "signed": {"type": "number", "required": False, "minimum": -1e6, "maximum": 1e6, "scale": 6},
        "steps": {"type": "integer", "required": False, "minimum": -50, "maximum": 50},
    },
    "rules": [{"field": "status_code", "when": {"service": "U7"}, "above": 199}],
    "cubes": [
        {
            "name": "wide_figures",
            "pane_seconds": 30,
            "dimensions": ["service", "user_id"],
            "measures": [
                {"name": "n", "kind": "count"},
                {"name": "users", "kind": "count", "field": "user_id"},
                {"name": "held", "kind": "count", "field": "signed"},
                {"name": "ok", "kind": "count", "where": {"field": "status_code", "equals": 200}},
                {"name": "above", "kind": "count", "where": {"field": "signed", "at_least": 0}},
                {"name": "below", "kind": "count", "where": {"field": "steps", "at_most": 0}},
                {"name": "signed_sum", "kind": "sum", "field": "signed"},
                {"name": "signed_coarse", "kind": "sum", "field": "signed", "scale": 0},
                {"name": "signed_squared", "kind": "sumsq", "field": "signed", "scale": 0},
                {"name": "steps_squared", "kind": "sumsq", "field": "steps"},
                {"name": "signed_min", "kind": "min", "field": "signed"},
                {"name": "signed_max", "kind": "max", "field": "signed"},
                {"name": "first_us", "kind": "min", "field": "event_us"},
                {"name": "delay_min_us", "kind": "min", "field": "delay_us"},
            ],
        },
        {
            "name": "wide_late",
            "pane_seconds": 3600,
            "arrival_seconds": 60,
            "only": "late",
            "dimensions": ["arrived", "delay_ms", "level"],
            "measures": [
                {"name": "n", "kind": "count"},
                {"name": "last_us", "kind": "max", "field": "event_us"},
                {"name": "steps", "kind": "sum", "field": "steps"},
            ],
        },
        {
            "name": "wide_events",
            "pane_seconds": 3600,
            "dimensions": ["event_us", "kafka_partition", "record_offset", "ip_address"],
            "measures": [{"name": "delay_us", "kind": "max", "field": "delay_us"}],
        },
    ],
}


def odd_contracts() -> list[Contract]:
    """Return these contracts, checked by the model."""
    return [Contract.model_validate(data) for data in (ODD, WIDE)]
