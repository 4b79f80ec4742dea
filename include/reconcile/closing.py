"""Whether an hour is closed: no record that Kafka holds for it is still to be folded. Pure.

An hour is closed when the clock is past its end by the stream's lateness and MARGIN_SECONDS,
and each partition's frontier is at or past the first record that arrived after the end plus the
lateness or, where there is none, the end of the partition read after that moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.reconcile.types import HOUR
from include.topics.offsets import beyond_end

MARGIN_SECONDS = 60


@dataclass(frozen=True)
class PartitionPosition:
    """Where a partition stands. first_after: offset of the first record with a Kafka time at or past the
    end of the hour plus the lateness, None where there is none. end: end offset of committed records."""

    partition: int
    frontier: int
    first_after: int | None
    end: int


def beyond_the_log(folded: Mapping[int, int], ends: Mapping[int, int]) -> list[str]:
    """Return a sentence for each partition of which more was folded than the topic holds, both by end offset.

    What the ledger read is then not what stands under its offsets now: nothing can be proved, and nothing mended.
    """
    return [
        f"partition {partition} is folded to offset {at}, and the log ends at {'no offset' if end is None else end}: "
        "the topic was made anew, or its log was cut"
        for partition, (at, end) in beyond_end(folded, ends).items()
    ]


def closes_at(hour: datetime, lateness_seconds: int) -> datetime:
    """Return the first moment at which the hour can be closed."""
    return hour + HOUR + timedelta(seconds=lateness_seconds + MARGIN_SECONDS)


def why_open(
    hour: datetime, now: datetime, lateness_seconds: int, positions: list[PartitionPosition]
) -> str | None:
    """Return why the hour is open, None when it is closed. `now` is read before `positions` are."""
    moment = closes_at(hour, lateness_seconds)
    if now < moment:
        return f"closes at {moment:%Y-%m-%dT%H:%M:%SZ}"
    behind = []
    for position in positions:
        wanted = position.end if position.first_after is None else position.first_after
        if position.frontier < wanted:
            behind.append(
                f"partition {position.partition} is folded to offset {position.frontier} of {wanted}"
            )
    return "; ".join(behind) or None
