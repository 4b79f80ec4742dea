"""Judges one record at a time by its contract: accepted with exact figures, or rejected with a reason.

Shared on purpose by the fold and the recount for what neither can prove clean by its own
means. A record is judged by its value and its Kafka timestamp alone, never by a clock.
The exact rules, with what decides in cases that parsers disagree about, are in docs/contract.md;
tests/integration/test_independence.py holds the fold and the recount to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf

import msgspec
import numpy as np

from include.contracts.model import Contract
from include.contracts.records import record_type
from include.contracts.times import parse_iso8601

MALFORMED, SCHEMA, FUTURE, STALE = "malformed", "schema", "future", "stale"
REASONS = (MALFORMED, SCHEMA, FUTURE, STALE)
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# The decoder gives up at a depth that depends on its caller's stack, so the limit is ours and far below.
DEEPEST_NESTING = 200
STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted record: event time in epoch microseconds, values as text or integers at their scale."""

    time_us: int
    values: dict[str, str | int]


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
        self._decode = msgspec.json.Decoder(record_type(contract)).decode
        self._skew_us = contract.skew_seconds * 1_000_000
        self._age_us = contract.maximum_age_hours * 3_600_000_000

    def classify(self, value: bytes | None, kafka_time_ms: int) -> Event | Reject:
        """Judge a record by its value and its Kafka timestamp in epoch milliseconds."""
        if value is None:
            return Reject(MALFORMED, "no value")
        if too_deep(value):
            return Reject(MALFORMED, f"nested more than {DEEPEST_NESTING} deep")
        try:
            value.decode("utf-8")  # msgspec looks only into the strings that it keeps
            record = self._decode(value)
        except msgspec.ValidationError as error:
            return self._refuse(value, str(error))
        except BROKEN as error:
            return Reject(MALFORMED, str(error))
        return self._judge(record, kafka_time_ms)

    def _refuse(self, value: bytes, detail: str) -> Reject:
        """A value that breaks the schema may be broken JSON further on, which weighs more."""
        try:
            whole = msgspec.json.decode(value)
        except BROKEN as error:
            return Reject(MALFORMED, str(error))
        if not isinstance(whole, dict):
            return Reject(MALFORMED, f"not a JSON object but {type(whole).__name__}")
        return Reject(SCHEMA, detail)

    def _judge(self, record: msgspec.Struct, kafka_time_ms: int) -> Event | Reject:
        contract = self._contract
        try:
            time_us = parse_iso8601(getattr(record, contract.event_time.field))
        except ValueError as error:
            return Reject(SCHEMA, f"{contract.event_time.field}: {error}")
        values: dict[str, str | int] = {}
        for name, rule in contract.fields.items():
            item = getattr(record, name)
            values[name] = item if rule.scale is None else to_scale(item, rule.scale)
        for bound in contract.rules:
            if all(values[name] == text for name, text in bound.when.items()):
                figure = int(values[bound.field])
                if bound.equals is not None and figure != bound.equals:
                    return Reject(
                        SCHEMA, f"{bound.field} is {figure} where {bound.when}: must be {bound.equals}"
                    )
                if figure <= (-inf if bound.above is None else bound.above):
                    return Reject(
                        SCHEMA, f"{bound.field} is {figure} where {bound.when}: must be above {bound.above}"
                    )
        ahead = time_us - kafka_time_ms * 1_000
        if ahead > self._skew_us:
            return Reject(FUTURE, f"event time is {ahead / 1e6:.3f} s ahead of the Kafka timestamp")
        if -ahead > self._age_us:
            return Reject(STALE, f"event time is {-ahead / 1e6:.3f} s before the Kafka timestamp")
        return Event(time_us, values)
