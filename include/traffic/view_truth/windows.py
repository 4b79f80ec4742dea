"""Events as truth sees them, and the windows that they lie in: aligned to the epoch, [start, end)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from include.contracts import load_contract
from include.traffic.tally import Accepted

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """One accepted event: times in epoch micro- and milliseconds; `once` is false for a repeated identity.

    Texts are '' and figures None when absent; figures are integers at the field's scale.
    """

    stream: str
    event_us: int
    kafka_ms: int
    once: bool
    late: bool
    fields: dict[str, Any]


def seen(stream: str, accepted: Accepted) -> list[SeenEvent]:
    """Return the accepted events of a run, in the order of sending."""
    lateness_us = load_contract(stream).lateness_seconds * 1_000_000
    columns: dict[str, list[Any]] = {
        name: [text.labels[code] for code in text.code.tolist()] for name, text in accepted.texts.items()
    }
    for name, number in accepted.numbers.items():
        pairs = zip(number.figure.tolist(), number.held.tolist(), strict=True)
        columns[name] = [figure if held else None for figure, held in pairs]
    names = list(columns)
    times = zip(
        accepted.event_us.tolist(),
        accepted.kafka_ms.tolist(),
        accepted.counts_once.tolist(),
        zip(*columns.values(), strict=True),
        strict=True,
    )
    return [
        SeenEvent(
            stream=stream,
            event_us=event_us,
            kafka_ms=kafka_ms,
            once=once,
            late=kafka_ms * 1000 - event_us > lateness_us,
            fields=dict(zip(names, values, strict=True)),
        )
        for event_us, kafka_ms, once, values in times
    ]


def counted_once(events: Iterable[SeenEvent]) -> list[SeenEvent]:
    """Return the events without the copies of an identity."""
    return [event for event in events if event.once]


def starts_of(second: int, width: int, slide: int) -> Iterator[int]:
    """Yield the start of every window of `width` seconds, one every `slide`, that holds a second."""
    start = second // slide * slide
    while start + width > second:
        yield start
        start -= slide


def by_window(
    events: Iterable[SeenEvent],
    width: int,
    slide: int,
    per: Callable[[SeenEvent], Any],
    second: Callable[[SeenEvent], int] = lambda event: event.event_us // 1_000_000,
) -> dict[tuple[int, Any], list[SeenEvent]]:
    """Return the events of each window (its start in epoch seconds) and subject, in the order given."""
    groups: dict[tuple[int, Any], list[SeenEvent]] = defaultdict(list)
    for event in events:
        for start in starts_of(second(event), width, slide):
            groups[start, per(event)].append(event)
    return groups


def row(start: int, width: int, **columns: Any) -> Row:
    """Return a row of a view whose window begins at `start`, epoch seconds."""
    bounds = {"window_start": start, "window_end": start + width}
    return {name: datetime.fromtimestamp(edge, UTC) for name, edge in bounds.items()} | columns


def amount(figure: int) -> Decimal:
    """Return a figure of scale 6 as it is served."""
    return Decimal(figure).scaleb(-6)


def mean(figures: list[int]) -> Fraction | None:
    """Return the mean of figures of scale 6, none where there are none."""
    return Fraction(sum(figures), 1_000_000 * len(figures)) if figures else None


def percent(part: int, whole: int) -> Fraction | None:
    """Return how many of a hundred, none of nothing."""
    return Fraction(100 * part, whole) if whole else None
