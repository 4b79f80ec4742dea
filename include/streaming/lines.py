"""Access-log lines to raw columns, many at once; include/contracts/access_log.py owns their form.

A line that is not surely acceptable is named by its position and judged by the classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.contracts import Contract
from include.contracts.access_log import MONTHS, NO_USER, ROOT, SERVICE_PATTERN, line_pattern
from include.contracts.model import JSON, LINE_FIELDS
from include.streaming.rules import keeps, raw_type, times

OPENING = r"^[ \t\r\n]*\{"
MONTH_NUMBERS = pa.array([f"{number:02}" for number in range(1, 13)])


def sort_by_form(contract: Contract, values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the values that are to be read as JSON, and of those that are to be lines."""
    if JSON not in contract.formats:
        return np.array([], np.int64), np.arange(len(values))
    begins = pc.equal(pc.binary_slice(values, 0, 1), b"{").fill_null(False)
    if begins.false_count:
        begins = pc.or_(begins, pc.match_substring_regex(values, OPENING).fill_null(False))
    is_object = begins.to_numpy(zero_copy_only=False)
    return np.flatnonzero(is_object), np.flatnonzero(~is_object)


class Lines:
    """Parses the access-log lines of one stream."""

    def __init__(self, contract: Contract, fields: Sequence[str]) -> None:
        """fields: those whose raw columns are wanted, the event time among them."""
        self._contract, self._fields = contract, fields
        self._pattern = line_pattern(contract.line_formats)

    def parse(self, values: pa.Array) -> tuple[dict[str, pa.Array], np.ndarray]:
        """Return raw columns of the UTF-8 values that are lines in order, and the positions of the others."""
        parts = pc.extract_regex(values.cast(pa.string()), self._pattern)
        found = np.flatnonzero(parts.is_valid())
        columns = self._columns(parts.take(pa.array(found)))
        good = np.ones(len(found), bool)
        for name, column in columns.items():
            good &= keeps(self._contract.fields[name], column)
        kept = pa.array(np.flatnonzero(good))
        left = np.ones(len(values), bool)
        left[found[good]] = False
        return {
            name: columns[name].take(kept)
            if name in columns
            else pa.nulls(len(kept), raw_type(self._contract.fields[name]))
            for name in self._fields
        }, np.flatnonzero(left)

    def _columns(self, parts: pa.StructArray) -> dict[str, pa.Array]:
        """Return the raw columns that lines have and the contract too, the event time among them."""
        part = {name: parts.field(name) for name in parts.type.names}
        status = part["status"].cast(pa.int64())
        target = part["target"]
        service = pc.extract_regex(target, SERVICE_PATTERN).field("service")
        rooted = pc.and_(pc.equal(service, ""), pc.not_equal(target, ""))
        columns = {
            "ip_address": pc.if_else(pc.equal(part["ip"], "-"), "", part["ip"]),
            "user_id": pc.if_else(pc.is_in(part["user"], pa.array(NO_USER)), "", part["user"]),
            "service": pc.if_else(rooted, ROOT, service),
            "status_code": status,
            "level": pc.if_else(
                pc.less(status, 400), "INFO", pc.if_else(pc.less(status, 500), "WARN", "ERROR")
            ),
        }
        rules = self._contract.fields
        kept = {name: columns[name].cast(raw_type(rules[name])) for name in LINE_FIELDS if name in rules}
        return kept | {self._contract.event_time.field: self._moments(part)}

    def _moments(self, part: dict[str, pa.Array]) -> pa.Array:
        """Return the times as the contract's event time is written; -1 where epoch milliseconds have none."""
        month = MONTH_NUMBERS.take(pc.index_in(part["month"], pa.array(MONTHS)))
        date = pc.binary_join_element_wise(part["year"], month, part["day"], "-")
        clock = pc.binary_join_element_wise(part["hour"], part["minute"], part["second"], ":")
        zone = pc.utf8_slice_codeunits(part["zone"], 0, 3), pc.utf8_slice_codeunits(part["zone"], 3)
        text = pc.binary_join_element_wise(date, "T", clock, zone[0], ":", zone[1], "")
        if self._contract.event_time.encoding == "iso8601_utc":
            return text
        time_us, real = times(text)
        return pa.array(np.where(real, time_us // 1_000, -1))
