"""Judges one record at a time by its contract: accepted with exact figures, or rejected with a reason.

Shared on purpose by the fold and the recount for what neither can prove clean by its own
means. A record is judged by its value and its Kafka timestamp alone, never by a clock.
The exact rules, with what decides in cases that parsers disagree about, are in docs/contract.md;
tests/integration/test_independence.py holds the fold and the recount to them.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import msgspec
import numpy as np

from include.contracts.access_log import parse_line
from include.contracts.model import JSON, Contract
from include.contracts.records import is_ip, record_type
from include.contracts.times import parse_epoch_ms, parse_iso8601

MALFORMED, SCHEMA, FUTURE, STALE = "malformed", "schema", "future", "stale"
REASONS = (MALFORMED, SCHEMA, FUTURE, STALE)
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# The decoder gives up at a depth that depends on its caller's stack, so the limit is ours and far below.
DEEPEST_NESTING = 200
BLANKS = b" \t\r\n"  # of JSON
STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted record: event time in epoch microseconds, and a value for each field of the contract.

    Texts are as written, numbers integers at their scale; an absent text is '', an absent number None.
    """

    time_us: int
    values: dict[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that the contract refuses, and why."""

    reason: str
    detail: str


def to_scale(value: float, scale: int) -> int:
    """Return rint(value * 10**scale): the same integer in every implementation, and exact for money."""
    return int(np.rint(np.float64(value) * np.float64(10**scale)))


def too_deep(value: bytes) -> bool:
    """Say whether objects and arrays are nested more than DEEPEST_NESTING deep."""
    if value.count(b"[") + value.count(b"{") <= DEEPEST_NESTING:
        return False
    depth = 0
    for token in STRING_OR_BRACKET.finditer(value):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if depth > DEEPEST_NESTING:
            return True
    return False


class Classifier:
    """Judges records of one stream; build it once and use it for many records."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._type = record_type(contract)
        self._decode = msgspec.json.Decoder(self._type).decode
        self._skew_us = contract.skew_seconds * 1_000_000
        self._age_us = contract.maximum_age_hours * 3_600_000_000
        self._addresses = [name for name, rule in contract.fields.items() if rule.format == "ip"]

    def classify(self, value: bytes | None, kafka_time_ms: int) -> Event | Reject:
        """Judge a record by its value and its Kafka timestamp in epoch milliseconds."""
        if value is None:
            return Reject(MALFORMED, "no value")
        read = self._read_line if self._is_line(value) else self._read_json
        record = read(value)
        return record if isinstance(record, Reject) else self._judge(record, kafka_time_ms)

    def _is_line(self, value: bytes) -> bool:
        if not self._contract.line_formats:
            return False
        return JSON not in self._contract.formats or not value.lstrip(BLANKS).startswith(b"{")

    def _read_json(self, value: bytes) -> msgspec.Struct | Reject:
        if too_deep(value):
            return Reject(MALFORMED, f"nested more than {DEEPEST_NESTING} deep")
        try:
            value.decode("utf-8")  # msgspec looks only into the strings that it keeps
            return self._decode(value)
        except msgspec.ValidationError as error:
            return self._refuse(value, str(error))
        except BROKEN as error:
            return Reject(MALFORMED, str(error))

    def _refuse(self, value: bytes, detail: str) -> Reject:
        """A value that breaks the schema may be broken JSON further on, which weighs more."""
        try:
            whole = msgspec.json.decode(value)
        except BROKEN as error:
            return Reject(MALFORMED, str(error))
        if not isinstance(whole, dict):
            return Reject(MALFORMED, f"not a JSON object but {type(whole).__name__}")
        return Reject(SCHEMA, detail)

    def _read_line(self, value: bytes) -> msgspec.Struct | Reject:
        contract = self._contract
        try:
            line = parse_line(value.decode("utf-8"), contract.line_formats)
        except UnicodeDecodeError as error:
            return Reject(MALFORMED, str(error))
        if line is None:
            begin = "neither a JSON object nor" if JSON in contract.formats else "not"
            return Reject(MALFORMED, f"{begin} an access-log line of {' or '.join(contract.line_formats)}")
        found: dict[str, str | int] = {
            n: v for n, v in asdict(line).items() if n in contract.fields and v != ""
        }
        found[contract.event_time.field] = line.time
        try:
            if contract.event_time.encoding == "epoch_ms":
                found[contract.event_time.field] = parse_iso8601(line.time) // 1_000
            return msgspec.convert(found, self._type)
        except msgspec.ValidationError as error:
            return Reject(SCHEMA, str(error))
        except ValueError as error:
            return Reject(SCHEMA, f"{contract.event_time.field}: {error}")

    def _judge(self, record: msgspec.Struct, kafka_time_ms: int) -> Event | Reject:
        contract = self._contract
        parse = parse_epoch_ms if contract.event_time.encoding == "epoch_ms" else parse_iso8601
        try:
            time_us: int = parse(getattr(record, contract.event_time.field))
        except ValueError as error:
            return Reject(SCHEMA, f"{contract.event_time.field}: {error}")
        values = self._values(record)
        broken = self._broken_format(values) or self._broken_rule(values)
        if broken:
            return Reject(SCHEMA, broken)
        ahead = time_us - kafka_time_ms * 1_000
        if ahead > self._skew_us:
            return Reject(FUTURE, f"event time is {ahead / 1e6:.3f} s ahead of the Kafka timestamp")
        if -ahead > self._age_us:
            return Reject(STALE, f"event time is {-ahead / 1e6:.3f} s before the Kafka timestamp")
        return Event(time_us, values)

    def _values(self, record: msgspec.Struct) -> dict[str, str | int | None]:
        values: dict[str, str | int | None] = {}
        for name, rule in self._contract.fields.items():
            item = getattr(record, name)
            if rule.type == "string":
                values[name] = item or ""
            elif rule.type == "integer" or item is None:
                values[name] = item
            else:
                values[name] = to_scale(item, rule.scale or 0)
        return values

    def _broken_format(self, values: dict[str, str | int | None]) -> str | None:
        for name in self._addresses:
            text = str(values[name])
            if not is_ip(text) and (text or self._contract.fields[name].required):
                return f"{name} is {text!r}: must be an IPv4 or IPv6 address"
        return None

    def _broken_rule(self, values: dict[str, str | int | None]) -> str | None:
        for bound in self._contract.rules:
            figure = values[bound.field]
            if not isinstance(figure, int) or any(values[name] != text for name, text in bound.when.items()):
                continue
            if bound.equals is not None and figure != bound.equals:
                return f"{bound.field} is {figure} where {bound.when}: must be {bound.equals}"
            if bound.above is not None and figure <= bound.above:
                return f"{bound.field} is {figure} where {bound.when}: must be above {bound.above}"
        return None
