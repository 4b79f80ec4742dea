"""Takes one raw record apart by plain JSON, or as an access-log line, and never by the streaming job's fold.

Owns: which fields a record holds, and which of its types, formats and rules are broken. Leaves to
others: limits of single fields, which the suite's expectations look at.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from include.contracts import Contract
from include.contracts.access_log import parse_line
from include.contracts.classifier import BLANKS
from include.contracts.model import JSON, FieldRule
from include.contracts.records import is_ip
from include.contracts.times import parse_epoch_ms, parse_iso8601

TEXT_LIMIT = 500
LONGEST_INTEGER = 4_300  # digits that int() takes


def parse(contract: Contract, value: bytes | None) -> dict[str, Any] | None:
    """Return what a JSON object holds, or an access-log line where the contract has lines; None where it is neither."""
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
        if contract.line_formats and not (JSON in contract.formats and value.lstrip(BLANKS).startswith(b"{")):
            return _line(contract, text)
        found = json.loads(text, parse_constant=_refuse, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _line(contract: Contract, text: str) -> dict[str, Any] | None:
    line = parse_line(text, contract.line_formats)
    if line is None:
        return None
    moment: str | int = line.time
    if contract.event_time.encoding == "epoch_ms":
        moment = parse_iso8601(line.time) // 1_000
    return {**asdict(line), contract.event_time.field: moment}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float("-inf" if digits[0] == "-" else "inf")


def field_values(contract: Contract, parsed: dict[str, Any]) -> dict[str, str | float]:
    """Return text or number of each field that the record holds in the field's type; others are left out.

    An optional field whose text is empty is absent.
    """
    return {
        name: as_float(parsed[name]) if rule.is_number else printable(parsed[name])
        for name, rule in contract.fields.items()
        if _is_there(parsed.get(name), rule) and has_type(parsed[name], rule)
    }


def broken(contract: Contract, parsed: dict[str, Any]) -> str:
    """Return the fields of another type or without their format, and the rules across fields that do not hold."""
    found = []
    for name, rule in contract.fields.items():
        item = parsed.get(name)
        if not _is_there(item, rule):
            continue
        if not has_type(item, rule):
            found.append(f"{name}: {type(item).__name__} instead of {rule.type}")
        elif rule.format == "ip" and not is_ip(str(item)):
            found.append(f"{name}: no address")
    return "; ".join([*found, *_broken_rules(contract, parsed)])


def event_time(contract: Contract, parsed: dict[str, Any]) -> int | None:
    """Return the event time in epoch microseconds, None where it cannot be read."""
    written = parsed.get(contract.event_time.field)
    if not has_type(written, contract.fields[contract.event_time.field]):
        return None
    try:
        return parse_iso8601(written) if isinstance(written, str) else parse_epoch_ms(int(str(written)))
    except ValueError:
        return None


def has_type(item: object, rule: FieldRule) -> bool:
    """Say whether a JSON value has the type of a field: nothing is converted, and true is no number."""
    if rule.type == "string":
        return isinstance(item, str)
    return isinstance(item, int if rule.type == "integer" else (int, float)) and not isinstance(item, bool)


def as_float(number: float) -> float:
    """Return a number as a double, infinite where none holds it."""
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def printable(text: str) -> str:
    """Return a text as a page can show it: escaped where it is no Unicode, cut after TEXT_LIMIT characters."""
    return text[:TEXT_LIMIT].encode("utf-8", "backslashreplace").decode("utf-8")


def _is_there(item: object, rule: FieldRule) -> bool:
    return item is not None and (rule.required or rule.is_number or item != "")


def _broken_rules(contract: Contract, parsed: dict[str, Any]) -> list[str]:
    found = []
    for rule in contract.rules:
        field = contract.fields[rule.field]
        if not has_type(parsed.get(rule.field), field):
            continue
        if any(parsed.get(name) != text for name, text in rule.when.items()):
            continue
        figure = np.rint(as_float(parsed[rule.field]) * 10.0 ** (field.scale or 0))
        place = f"{rule.field} where {', '.join(f'{name} is {text}' for name, text in rule.when.items())}"
        if rule.equals is not None and figure != rule.equals:
            found.append(f"{place}: not {rule.equals}")
        if rule.above is not None and not figure > rule.above:
            found.append(f"{place}: not above {rule.above}")
    return found
