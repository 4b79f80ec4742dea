"""What is wrong with which record: malformed, schema-breaking, duplicate, late and future-dated.

Owns: how many of each kind, how far their times are off, which event a duplicate repeats, and
the ways to damage a JSON value. Leaves to the stream's generator: how its contract can be broken.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from include.traffic.plan import FUTURE_FROM_SECONDS, FUTURE_TO_SECONDS, TrafficPlan

I64 = NDArray[np.int64]
Kinds = NDArray[np.int8]
HOUR_US = 3_600_000_000
COPY_WITHIN_MS = 50_000
CHANGED_COPIES = 0.1
NOT_JSON = (b"ping", b"<html>502 Bad Gateway</html>", b"null", b"[1,2,3]")


class Kind(IntEnum):
    """What a record is; kinds up to DUPLICATE are events, the others must be rejected."""

    PLAIN = 0
    LATE = 1
    DUPLICATE = 2
    FUTURE = 3
    SCHEMA_BREAKING = 4
    MALFORMED = 5


def draw_kinds(plan: TrafficPlan, slot_us: I64, rng: np.random.Generator) -> Kinds:
    """Choose the records of each kind: the planned share of all, and at least one where a share is asked.

    Late records of a replay keep clear of its beginning, so that none lies before the first event.
    """
    kind = np.zeros(slot_us.size, dtype=np.int8)
    free = rng.permutation(slot_us.size)
    room = slot_us >= slot_us[0] + (0 if plan.live else plan.late_from_seconds * 1_000_000)
    shares = {
        Kind.LATE: plan.late,
        Kind.DUPLICATE: plan.duplicate,
        Kind.FUTURE: plan.future,
        Kind.SCHEMA_BREAKING: plan.schema_breaking,
        Kind.MALFORMED: plan.malformed,
    }
    for what, share in shares.items():
        wanted = max(1, round(share * slot_us.size)) if share else 0
        candidates = free[room[free]] if what is Kind.LATE else free
        if what is Kind.DUPLICATE:
            candidates = candidates[slot_us[candidates] // 1000 > slot_us[0] // 1000]
        kind[candidates[:wanted]] = what
        free = free[kind[free] == Kind.PLAIN]
    return kind


def shift_times(plan: TrafficPlan, slot_us: I64, kind: Kinds, rng: np.random.Generator) -> I64:
    """Return event times: the slot, earlier for late records, later for future-dated ones."""
    event_us = slot_us.copy()
    late = np.flatnonzero(kind == Kind.LATE)
    longest = np.full(late.size, plan.late_to_seconds * 1_000_000, dtype=np.int64)
    if not plan.live:
        longest = np.minimum(longest, slot_us[late] - slot_us[0])
    event_us[late] -= rng.integers(plan.late_from_seconds * 1_000_000, longest, endpoint=True)
    future = np.flatnonzero(kind == Kind.FUTURE)
    event_us[future] += rng.integers(
        FUTURE_FROM_SECONDS * 1_000_000, FUTURE_TO_SECONDS * 1_000_000, future.size, endpoint=True
    )
    return event_us


def draw_identities(kafka_ms: I64, kind: Kinds, rng: np.random.Generator) -> I64:
    """Give each duplicate the identity of an event sent up to 50 s before it.

    The original's Kafka timestamp is strictly lower, so of all copies the original is the one that
    counts, in whatever partitions they lie. A duplicate with nothing to repeat becomes plain:
    `kind` is corrected in place.
    """
    identity = np.arange(kind.size)
    originals = np.flatnonzero(kind <= Kind.LATE)
    copies = np.flatnonzero(kind == Kind.DUPLICATE)
    end = np.searchsorted(kafka_ms[originals], kafka_ms[copies], side="left")
    kind[copies[end == 0]] = Kind.PLAIN
    copies, end = copies[end > 0], end[end > 0]
    first = np.searchsorted(kafka_ms[originals], kafka_ms[copies] - COPY_WITHIN_MS, side="left")
    first = np.minimum(first, end - 1)
    identity[copies] = originals[rng.integers(first, end)]
    return identity


def copy_contents(
    slot_us: I64, event_us: I64, kind: Kinds, identity: I64, own_times: bool, rng: np.random.Generator
) -> tuple[I64, I64]:
    """Return (content, event times) with duplicates filled in.

    A duplicate repeats its original to the byte; one in ten has fields of its own and, where `own_times`,
    an event time of its own within the original's event hour, where the id still makes it a copy.
    """
    content, times = identity.copy(), event_us[identity]
    own = (kind == Kind.DUPLICATE) & (rng.random(kind.size) < CHANGED_COPIES)
    own &= slot_us // HOUR_US == times // HOUR_US
    content[own] = np.flatnonzero(own)
    if own_times:
        times[own] = slot_us[own]
    return content, times


def malform(value: bytes, flavour: int) -> bytes:
    """Damage a JSON object so that it is not one whole object in valid UTF-8; `flavour` chooses how."""
    way, rest = flavour % 5, flavour // 5
    if way == 0:
        return NOT_JSON[rest % len(NOT_JSON)]
    if way == 1:
        return value[: 1 + rest % (len(value) - 1)]
    if way == 2:
        return value + (b"\n", b"", b" ")[rest % 3] + value
    if way == 3:
        inside = value.index(b'":"') + 3
        return value[:inside] + b"\xff\xfe" + value[inside:]
    return value + b" end of record"
