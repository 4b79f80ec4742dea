"""A contract's rules, asked of whole columns: which records may surely be accepted, and their figures.

Raw columns are texts, doubles or integers, null where a field is absent; events.py says what becomes of them.
What these rules do not accept goes record by record through the classifier, so a rule that is too strict costs
time and nothing else.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.contracts import Contract, FieldRule
from include.contracts.times import END_US, ISO8601_PATTERN, parse_iso8601
from include.streaming.events import Events, Places

HOUR_US = 3_600_000_000
ZONED = r"(Z|[+-][0-9:]{5})$"
OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
DOTTED_QUAD = rf"^({OCTET}\.){{3}}{OCTET}$"


def raw_type(rule: FieldRule) -> pa.DataType:
    """Return the type of a field's raw column."""
    return {"string": pa.string(), "number": pa.float64(), "integer": pa.int64()}[rule.type]


def figures_of(rule: FieldRule, raw: pa.Array) -> pa.Array:
    """Return a field's column as events hold it: rint(x * 10**scale) of numbers, '' for an absent text."""
    if rule.type == "string":
        return raw.fill_null("") if raw.null_count else raw
    if rule.type == "integer":
        return raw
    absent = _mask(raw.is_null()) if raw.null_count else None
    scaled = np.rint(raw.fill_null(0).to_numpy() * np.float64(10 ** (rule.scale or 0)))
    return pa.array(scaled.astype(np.int64), mask=absent)


def judge(
    contract: Contract, places: Places, raw: dict[str, pa.Array], columns: list[str]
) -> tuple[Events, np.ndarray]:
    """Return the records as events with these columns, and which of them are accepted."""
    moments = raw[contract.event_time.field]
    if contract.event_time.encoding == "epoch_ms":
        time_us = moments.to_numpy() * 1_000
        accepted = (time_us >= 0) & (time_us < END_US)
    else:
        time_us, accepted = times(moments)
    found = {name: figures_of(contract.fields[name], raw[name]) for name in columns}
    for name in columns:
        if contract.fields[name].format == "ip":
            accepted &= _are_addresses(found[name], contract.fields[name].required)
    for rule in contract.rules:
        figure = found[rule.field].to_numpy()
        breaks = figure != rule.equals if rule.equals is not None else figure <= rule.above
        for name, text in rule.when.items():
            breaks = breaks & _mask(pc.equal(found[name], text))
        accepted &= ~breaks
    events = Events(contract, places, time_us, found)
    accepted &= events.delay_us >= -contract.skew_seconds * 1_000_000
    accepted &= events.delay_us <= contract.maximum_age_hours * HOUR_US
    return events, accepted


def _are_addresses(column: pa.Array, required: bool) -> np.ndarray:
    good = pc.match_substring_regex(column, DOTTED_QUAD)
    if not required:
        good = pc.or_(good, pc.equal(column, ""))
    return _mask(good)


def keeps(rule: FieldRule, column: pa.Array) -> np.ndarray:
    """Return which items of a raw column without nulls the field may have, by all of its rule but the format.

    An empty text is an absent one.
    """
    if rule.is_number:
        good = pc.and_(pc.greater_equal(column, rule.minimum), pc.less_equal(column, rule.maximum))
        return _mask(good)
    good = pc.greater_equal(pc.utf8_length(column), max(1, rule.min_length or 0))
    if rule.allowed is not None:
        good = pc.and_(good, pc.is_in(column, pa.array(rule.allowed)))
    if not rule.required:
        good = pc.or_(good, pc.equal(column, ""))
    return _mask(good)


def _mask(flags: pa.BooleanArray) -> np.ndarray:
    found: np.ndarray = flags.to_numpy(zero_copy_only=False)
    return found


def times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return epoch microseconds and which texts are times; the form is that of contracts/times.py."""
    formed = pc.match_substring_regex(column, f"^{ISO8601_PATTERN}$")
    zoned = pc.and_(formed, pc.match_substring_regex(column, ZONED))
    plain = pc.and_(formed, pc.invert(zoned))
    time_us = np.zeros(len(column), np.int64)
    accepted = np.zeros(len(column), bool)
    for mask, kind in ((plain, pa.timestamp("us")), (zoned, pa.timestamp("us", "UTC"))):
        where = np.flatnonzero(_mask(mask))
        if len(where):
            part = column if len(where) == len(column) else column.take(pa.array(where))
            time_us[where], accepted[where] = _cast(part, kind)
    return time_us, accepted & (time_us >= 0) & (time_us < END_US)


def _cast(column: pa.Array, kind: pa.DataType) -> tuple[np.ndarray, np.ndarray]:
    """Return epoch microseconds and which texts name a real instant, at once or else one by one."""
    try:
        return column.cast(kind).view(pa.int64()).to_numpy(), np.ones(len(column), bool)
    except pa.ArrowInvalid:
        found = [_parse(text) for text in column.to_pylist()]
        return np.array([t or 0 for t in found], np.int64), np.array([t is not None for t in found])


def _parse(text: str) -> int | None:
    try:
        return parse_iso8601(text)
    except ValueError:
        return None
