"""Compares rows of a view with the truth: exact for counts, texts and amounts, close for what is rounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from include.traffic.view_truth.windows import Row

KEYS = (
    "window_start",
    "user_id",
    "action",
    "stream",
    "service",
    "ip_address",
    "event_type",
    "country",
    "ad_format",
)
RELATIVE, ABSOLUTE = 1e-9, 1e-9  # averages are served as Decimals of 10 digits or as doubles


@dataclass(frozen=True)
class Within:
    """A true value of which only the bounds are known, both included."""

    least: int
    most: int


def differences(expected: Iterable[Row], served: Iterable[Row]) -> list[str]:
    """Return a line for each row that is missing, in excess or unequal, with both sides; none when all are equal.

    Columns of `served` that truth does not know, such as `status`, are ignored.
    """
    truth, found = _by_key(expected), _by_key(served)
    lines = [f"missing: {dict(truth[key])}" for key in truth if key not in found]
    lines += [f"excess: {dict(found[key])}" for key in found if key not in truth]
    for key, row in truth.items():
        wrong = [
            f"{name}: expected {value!s}, served {found[key].get(name)!s}"
            for name, value in row.items()
            if key in found and not same(value, found[key].get(name))
        ]
        if wrong:
            lines.append(f"unequal at {', '.join(map(str, key))}: {'; '.join(wrong)}")
    return lines


def same(expected: Any, served: Any) -> bool:
    """Say whether a served value is the true one."""
    if isinstance(expected, Within):
        return served is not None and bool(expected.least <= served <= expected.most)
    if isinstance(expected, Fraction | float) and served is not None:
        return math.isclose(float(expected), float(served), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(expected == served)


def _by_key(rows: Iterable[Row]) -> Mapping[tuple[Any, ...], Row]:
    """Return the rows by window and subject.

    Raises:
        ValueError: two rows have the same, which no view may.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS if name in row)
        if key in found:
            raise ValueError(f"two rows of one window and subject: {found[key]} and {row}")
        found[key] = row
    return found
