"""Which windows of a detector a pane touches, and which are judged in one statement. Pure; times are epoch seconds.

Windows begin at multiples of the slide since the epoch and are [start, end).
"""

from __future__ import annotations

from collections.abc import Iterable

from include.detect.load import Header
from include.reconcile.types import from_epoch

CLOSED_AFTER_SECONDS = 10
MOST_WINDOWS = 180  # of one statement


def touched(header: Header, pane: int, pane_seconds: int) -> range:
    """Return the starts of the windows whose figures, or those that their rule looks back at, hold a pane."""
    return starts(header, pane - header.window_seconds + 1, pane + pane_seconds + header.reads_back_seconds)


def starts(header: Header, first: int, end: int) -> range:
    """Return the starts of windows in [first, end)."""
    slide = header.slide_seconds
    return range(-(-first // slide) * slide, end, slide)


def is_closed(header: Header, start: int, highest_us: int) -> bool:
    """Say whether a window's end is far enough behind the highest event time, in epoch microseconds."""
    return (start + header.window_seconds + CLOSED_AFTER_SECONDS) * 1_000_000 <= highest_us


def joined(header: Header, windows: Iterable[int], gap_seconds: int = 0) -> list[tuple[int, int]]:
    """Return ranges [first, end) of starts that cover the windows, in order; gaps up to gap_seconds are covered too."""
    ranges: list[tuple[int, int]] = []
    for start in sorted(windows):
        end = start + header.slide_seconds
        if ranges and start - ranges[-1][1] <= gap_seconds:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def statements(header: Header, windows: Iterable[int], gap_seconds: int = 0) -> list[tuple[int, int]]:
    """Return the ranges of `joined`, cut to what one statement takes."""
    most = MOST_WINDOWS * header.slide_seconds
    return [
        (at, min(at + most, end))
        for first, end in joined(header, windows, gap_seconds)
        for at in range(first, end, most)
    ]


def hours_of(header: Header, start: int) -> range:
    """Return the hours, by their starts, that the judgement of a window uses."""
    first = (start - header.reads_back_seconds) // 3600 * 3600
    return range(first, start + header.window_seconds, 3600)


def text(moment: int) -> str:
    """Return a moment as ClickHouse reads it in UTC."""
    return f"{from_epoch(moment):%Y-%m-%d %H:%M:%S}"
