"""What the richer contracts may not say: optional fields, integers, measures, derived dimensions, log lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.contracts import ContractError, load_contract
from include.contracts.load import CONTRACTS_DIR

# stream, what to replace, by what, the part that names the line, the place, what the reason says
REFUSED = {
    "integer with a scale": (
        "logs",
        "status_code: {type: integer,",
        "status_code: {type: integer, scale: 2,",
        "status_code: {",
        "fields.status_code",
        "an integer has no scale",
    ),
    "integer without bounds": (
        "logs",
        "{type: integer, minimum: 100, maximum: 599}",
        "{type: integer, minimum: 100}",
        "status_code: {",
        "fields.status_code",
        "a number needs minimum and maximum",
    ),
    "optional number without bounds": (
        "logs",
        "required: false, minimum: 0, maximum: 3600, scale: 6}",
        "required: false, scale: 6}",
        "response_time: {",
        "fields.response_time",
        "a number needs minimum, maximum and scale",
    ),
    "number with a format": (
        "user_events",
        "value: {type: number,",
        "value: {type: number, format: ip,",
        "value: {",
        "fields.value",
        "no format",
    ),
    "integer with values allowed": (
        "logs",
        "status_code: {type: integer,",
        "status_code: {type: integer, allowed: ['200'],",
        "status_code: {",
        "fields.status_code",
        "no allowed",
    ),
    "string with bounds": (
        "logs",
        "error_code: {type: string,",
        "error_code: {type: string, maximum: 7,",
        "error_code: {",
        "fields.error_code",
        "a string has no minimum, maximum or scale",
    ),
    "unknown format of a field": (
        "user_events",
        "format: ip}",
        "format: mac}",
        "ip_address: {",
        "fields.ip_address.format",
        "'ip'",
    ),
    "unknown type": (
        "logs",
        "status_code: {type: integer,",
        "status_code: {type: int,",
        "status_code: {",
        "fields.status_code.type",
        "'integer'",
    ),
    "unknown format of records": (
        "logs",
        "nginx_combined,",
        "iis,",
        "formats:",
        "formats.1",
        "'nginx_combined'",
    ),
    "no format of records": (
        "logs",
        "[json, nginx_combined, apache_common]",
        "[]",
        "formats:",
        "formats",
        "at least 1",
    ),
    "unknown encoding of the event time": (
        "user_events",
        "encoding: epoch_ms",
        "encoding: epoch_s",
        "encoding:",
        "event_time.encoding",
        "'epoch_ms'",
    ),
    "optional event time": (
        "user_events",
        "timestamp: {type: integer,",
        "timestamp: {type: integer, required: false,",
        "field: timestamp",
        "event_time.field",
        "the event time is required",
    ),
    "event time in milliseconds that is text": (
        "logs",
        "encoding: iso8601_utc",
        "encoding: epoch_ms",
        "event_time:",
        "event_time",
        "a string in iso8601_utc, an integer in epoch_ms",
    ),
    "event time in ISO 8601 that is a number": (
        "user_events",
        "encoding: epoch_ms",
        "encoding: iso8601_utc",
        "event_time:",
        "event_time",
        "a string in iso8601_utc, an integer in epoch_ms",
    ),
    "event time in milliseconds with a fraction": (
        "user_events",
        "{type: integer, minimum: 0, maximum: 4291747199999}",
        "{type: number, scale: 0, minimum: 0, maximum: 4291747199999}",
        "field: timestamp",
        "event_time.field",
        "an event time in epoch_ms is an integer",
    ),
    "field with the name of a derived dimension": (
        "logs",
        "  error_code: {",
        "  delay_ms: {type: string}\n  error_code: {",
        "delay_ms: {",
        "fields.delay_ms",
        "'delay_ms' is the name of a derived figure",
    ),
    "field with the name of a derived number": (
        "logs",
        "  error_code: {",
        "  delay_us: {type: string}\n  error_code: {",
        "delay_us: {",
        "fields.delay_us",
        "'delay_us' is the name of a derived figure",
    ),
    "rule on an optional number": (
        "logs",
        "cubes:\n",
        "rules:\n  - {field: response_time, when: {service: a}, above: 0}\ncubes:\n",
        "above: 0",
        "rules.0",
        "a rule names required fields",
    ),
    "rule where an optional text has a value": (
        "logs",
        "cubes:\n",
        "rules:\n  - {field: status_code, when: {level: INFO}, above: 0}\ncubes:\n",
        "above: 0",
        "rules.0",
        "a rule names required fields",
    ),
    "rule where a number has a value": (
        "logs",
        "cubes:\n",
        "rules:\n  - {field: status_code, when: {status_code: '7'}, above: 0}\ncubes:\n",
        "above: 0",
        "rules.0",
        "a rule bounds a number where strings have values",
    ),
    "dimension that is an integer": (
        "logs",
        "dimensions: [service]",
        "dimensions: [service, status_code]",
        "status_code]",
        "cubes.0.dimensions",
        "dimensions are strings",
    ),
    "arrival without a width": (
        "logs",
        "    arrival_seconds: 300\n",
        "",
        "log_arrival",
        "cubes.2",
        "the dimension arrived and arrival_seconds go together",
    ),
    "a width without arrival": (
        "logs",
        "[arrived, delay_ms]",
        "[delay_ms]",
        "log_arrival",
        "cubes.2",
        "the dimension arrived and arrival_seconds go together",
    ),
    "cube of other events than the late ones": (
        "user_events",
        "only: late",
        "only: early",
        "only: early",
        "cubes.2.only",
        "'late'",
    ),
    "name of another cube": (
        "user_events",
        "name: user_minutes",
        "name:  user_actions",
        "name:  user_actions",
        "cubes.1.name",
        "taken by another cube",
    ),
    "column twice by way of a measure that came": (
        "logs",
        "name: timed_count",
        "name: came_request_count",
        "log_services",
        "cubes.0",
        "the column 'came_request_count' twice",
    ),
    "measure of no known kind": (
        "user_events",
        "kind: min, field: value",
        "kind: median, field: value",
        "kind: median",
        "cubes.1.measures.2.kind",
        "'min'",
    ),
    "sum of nothing": (
        "user_events",
        "kind: min, field: value",
        "kind: sum",
        "kind: sum}",
        "cubes.1.measures.2",
        "a sum has a field",
    ),
    "minimum of text": (
        "user_events",
        "kind: min, field: value",
        "kind: min, field: session_id",
        "field: session_id",
        "cubes.1.measures.2.field",
        "'session_id' is not a number",
    ),
    "sum of a derived number": (
        "user_events",
        "kind: min, field: event_us",
        "kind: sum, field: event_us",
        "field: event_us",
        "cubes.2.measures.1.kind",
        "'event_us' has a minimum and a maximum only",
    ),
    "count with a scale": (
        "logs",
        "kind: count, where: {field: status_code, equals: 200}",
        "kind: count, scale: 1",
        "scale: 1",
        "cubes.0.measures.8",
        "only a sum or sumsq has a scale",
    ),
    "scale finer than the field's": (
        "logs",
        "kind: sum, field: response_time, scale: 3",
        "kind: sum, field: response_time, scale: 7",
        "scale: 7",
        "cubes.0.measures.5.scale",
        "finer than that of 'response_time'",
    ),
    "squares that overflow": (
        "logs",
        "kind: sumsq, field: response_time, scale: 3",
        "kind: sumsq, field: response_time",
        "kind: sumsq",
        "cubes.0.measures.6",
        "squares of 'response_time' at scale 6",
    ),
    "condition on text": (
        "logs",
        "where: {field: status_code, equals: 200}",
        "where: {field: service, equals: 200}",
        "equals: 200",
        "cubes.0.measures.8.where.field",
        "'service' is not a number",
    ),
    "condition on an unknown field": (
        "logs",
        "where: {field: status_code, equals: 200}",
        "where: {field: state, equals: 200}",
        "equals: 200",
        "cubes.0.measures.8.where.field",
        "'state'",
    ),
    "condition with two bounds": (
        "logs",
        "where: {field: status_code, equals: 200}",
        "where: {field: status_code, equals: 200, at_most: 299}",
        "equals: 200",
        "cubes.0.measures.8.where",
        "one of equals, at_least and at_most",
    ),
    "condition without a bound": (
        "logs",
        "where: {field: status_code, equals: 200}",
        "where: {field: status_code}",
        "success_count",
        "cubes.0.measures.8.where",
        "one of equals, at_least and at_most",
    ),
    "condition of a sum": (
        "logs",
        "kind: count, where: {field: status_code, equals: 200}",
        "kind: sum, field: response_time, where: {field: status_code, equals: 200}",
        "equals: 200",
        "cubes.0.measures.8",
        "only a count without a field has a where",
    ),
    "condition and field of one count": (
        "logs",
        "kind: count, where: {field: status_code, equals: 200}",
        "kind: count, field: response_time, where: {field: status_code, equals: 200}",
        "equals: 200",
        "cubes.0.measures.8",
        "only a count without a field has a where",
    ),
    "lines without a service": (
        "logs",
        "  service: {type: string, min_length: 1}\n",
        "",
        "formats:",
        "formats",
        "lines need the field 'service'",
    ),
    "lines with a level that is a number": (
        "logs",
        "level: {type: string, required: false, allowed: [DEBUG, INFO, WARN, ERROR, FATAL]}",
        "level: {type: integer, minimum: 0, maximum: 5}",
        "level: {type: integer",
        "fields.level.type",
        "a line has it as string",
    ),
    "lines that lack what is required": (
        "logs",
        "message: {type: string, required: false}",
        "message: {type: string}",
        "formats:",
        "formats",
        "'message' is required, and no nginx_combined line has it",
    ),
}


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_contract_is_refused_with_file_line_place_and_reason(fault: str, tmp_path: Path) -> None:
    stream, before, after, at, place, reason = REFUSED[fault]
    shipped = (CONTRACTS_DIR / f"{stream}.yaml").read_text(encoding="utf-8")
    assert before in shipped, f"{before!r} is not in the shipped contract of {stream}"
    text = shipped.replace(before, after, 1)
    if fault == "lines without a service":  # no cube may name it either
        text = text.replace(", service]", "]").replace("[service]", "[user_id]")
    (tmp_path / f"{stream}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        load_contract(stream, tmp_path)
    said = str(caught.value)
    expected = f"{stream}.yaml:{line_of(text, at)}: {place}: "
    assert said.startswith(expected), f"expected {expected!r}…, was {said!r}"
    assert reason in said, f"expected a reason with {reason!r}, was {said!r}"
