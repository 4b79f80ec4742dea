"""The views of how late events arrive: by windows of Kafka's timestamp."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction

from include.traffic.view_truth.compare import Within
from include.traffic.view_truth.windows import Row, SeenEvent, by_window, row

STEP_SECONDS = 30  # of the recommended lateness
STEP_US = STEP_SECONDS * 1_000_000


def _arrival(event: SeenEvent) -> int:
    return event.kafka_ms // 1000


def late_events(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute of arrival, by user, late events alone; the earliest event time as text, in milliseconds."""
    late = [event for event in events if event.late]
    rows = []
    for (start, user), members in by_window(late, 60, 60, lambda e: e.fields["user_id"], _arrival).items():
        first = min(event.event_us for event in members)
        moment = datetime.fromtimestamp(first // 1_000_000, UTC)
        text = f"{moment:%Y-%m-%d %H:%M:%S}.{first // 1000 % 1000:03d}"
        rows.append(row(start, 60, user_id=user, late_event_count=len(members), earliest_late_event=text))
    return rows


def arrival_delay(events: Iterable[SeenEvent]) -> list[Row]:
    """Five minutes of arrival, by stream, in seconds; percentiles by nearest rank, of the bins' lower edges.

    The recommended lateness is bounded by the exact delays, without bins.
    """
    rows = []
    for (start, stream), members in by_window(events, 300, 300, lambda e: e.stream, _arrival).items():
        delays_us = [event.kafka_ms * 1000 - event.event_us for event in members]
        bins_ms = sorted(bin_of(delay_us) for delay_us in delays_us)
        p50, p95, p99 = (bins_ms[math.ceil(len(bins_ms) * share) - 1] for share in (0.5, 0.95, 0.99))
        rows.append(
            row(
                start,
                300,
                stream=stream,
                count=len(members),
                p50=Fraction(p50, 1000),
                p95=Fraction(p95, 1000),
                p99=Fraction(p99, 1000),
                max=Fraction(max(delays_us), 1_000_000),
                recommended_lateness=enough_lateness(sorted(delays_us)[math.ceil(len(delays_us) * 0.99) - 1]),
            )
        )
    return rows


def enough_lateness(p99_us: int) -> Within:
    """Return what the recommended lateness may be, in seconds, given the exact 99th percentile in microseconds.

    At least that percentile rounded up to 30 s; at most what is 1 ms or 1 % above it, the width of a bin, rounded up:
    one step more, up to fifty minutes.
    """
    above_us = p99_us + max(1000, p99_us // 100 + 1)
    return Within(*(max(0, math.ceil(Fraction(us, STEP_US))) * STEP_SECONDS for us in (p99_us, above_us)))


def bin_of(delay_us: int) -> int:
    """Return the lower edge in ms of a delay's bin: 1 ms wide below 1 s, then a hundredth of 1 s, 2 s, 4 s and so on."""
    delay_ms = max(0, delay_us // 1000)
    if delay_ms < 1000:
        return delay_ms
    edge = 1000
    while 2 * edge <= delay_ms:
        edge *= 2
    return edge + (delay_ms - edge) // (edge // 100) * (edge // 100)
