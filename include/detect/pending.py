"""The windows of one detector that wait for a judgement. Pure; times are epoch seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from include.detect.load import GROWING, Detector
from include.detect.windows import is_closed, starts, statements, touched

MOST_WAITING = 10_000
MOST_STATEMENTS = 4  # of one detector in one round


@dataclass
class Pending:
    """Windows that were touched and not judged since. What does not fit is forgotten, oldest first: a seal judges it."""

    detector: Detector
    waiting: set[int] = field(default_factory=set)

    def touch(self, panes: Iterable[int], highest_us: int) -> None:
        """Add the windows that panes touch; those that only look back at one, where they have ended already.

        One that has not ended is touched by its own events, if it has any.
        """
        header, width = self.detector.header, self.detector.pane_seconds
        for pane in panes:
            self.waiting.update(
                start
                for start in touched(header, pane, width)
                if start < pane + width or is_closed(header, start, highest_us)
            )
        self._forget()

    def add_hours(self, first: int, end: int, now: int) -> None:
        """Add the windows that begin in [first, end) and not after now, as after a restart."""
        self.waiting.update(start for start in starts(self.detector.header, first, end) if start <= now)
        self._forget()

    def take(self, highest_us: int) -> list[tuple[int, int]]:
        """Remove the windows that can be judged, the newest first; return ranges [first, end) that cover them."""
        header = self.detector.header
        # A gap that a rule looks back through is read anyhow.
        chosen = statements(header, self._ready(highest_us), header.reads_back_seconds)[-MOST_STATEMENTS:]
        self.waiting -= {start for first, end in chosen for start in starts(header, first, end)}
        return chosen

    def put_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Have the windows of ranges that were taken, and not judged, wait again."""
        header = self.detector.header
        self.waiting.update(start for first, end in ranges for start in starts(header, first, end))
        self._forget()

    def is_ready(self, highest_us: int) -> bool:
        """Say whether a window can be judged."""
        return bool(self._ready(highest_us))

    def _ready(self, highest_us: int) -> set[int]:
        header = self.detector.header
        if header.when == GROWING:
            return set(self.waiting)
        return {start for start in self.waiting if is_closed(header, start, highest_us)}

    def _forget(self) -> None:
        if len(self.waiting) > MOST_WAITING:
            self.waiting = set(sorted(self.waiting)[-MOST_WAITING:])
