"""What a contender must serve in each view, told by counts: rows and events of every window, from what was sent.

Averages, percentiles and approximate figures are not held against each other: the counts show that both did the work.
Owns: which view counts what, and the sender's counts. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.traffic.tally import Accepted

I64 = NDArray[np.int64]
Counts = dict[int, tuple[int, int]]


class UnequalCountsError(AssertionError):
    """A contender's counts in ClickHouse are not what was sent: its time means nothing."""


@dataclass(frozen=True)
class View:
    """A view by windows of `width` seconds, one every `slide`; `count` is its column that is summed and compared.

    `per` is the field that its rows are by, '' for none; an absent one has no row. `takes` says which events add
    to `count`: all, `late` ones alone, or those with status `200`; rows with no more than `above` are left out.
    """

    name: str
    width: int
    slide: int
    per: str
    count: str
    by_arrival: bool = False
    takes: str = "all"
    above: int = -1

    @property
    def table(self) -> str:
        """The obvious job's table."""
        return f"obvious_{self.name}"


ARRIVAL_DELAY = View("arrival_delay", 300, 300, "", "count", by_arrival=True)
VIEWS = {
    "user_events": (
        View("user_activity", 60, 30, "user_id", "total_events"),
        View("action_metrics", 120, 60, "action", "action_count"),
        View("user_totals", 300, 60, "user_id", "event_count"),
        View("busy_users", 300, 120, "user_id", "event_count", above=50),
        View("late_events", 60, 60, "user_id", "late_event_count", by_arrival=True, takes="late"),
        ARRIVAL_DELAY,
    ),
    "logs": (
        View("response_times", 60, 60, "service", "request_count"),
        View("error_rates", 60, 60, "service", "total_requests"),
        View("ip_patterns", 300, 300, "ip_address", "request_count"),
        View("sla", 60, 60, "service", "successful_requests", takes="200"),
        View("log_user_activity", 300, 300, "user_id", "activity_count"),
        View("service_popularity", 60, 60, "service", "request_count"),
        View("system_health", 60, 60, "", "total_requests"),
        ARRIVAL_DELAY,
    ),
}


def counts_of(view: View, events: Accepted, lateness_seconds: int) -> Counts:
    """Return (rows, sum of the counts) of each window of the view that has rows, by its start in epoch seconds."""
    second = events.kafka_ms // 1000 if view.by_arrival else events.event_us // 1_000_000
    code, labels = np.zeros(second.size, dtype=np.int64), 1
    taken = np.ones(second.size, dtype=np.bool_)
    if view.per:
        text = events.texts[view.per]
        code, labels = text.code.astype(np.int64), len(text.labels)
        taken &= np.array([label != "" for label in text.labels], dtype=np.bool_)[code]
    adds = np.ones(second.size, dtype=np.int64)
    if view.takes == "late":
        taken &= events.delay_us > lateness_seconds * 1_000_000
    elif view.takes == "200":
        adds = (events.numbers["status_code"].figure == 200).astype(np.int64)
    cells, added = _in_windows(view, second[taken], code[taken], adds[taken], labels)
    cells, place = np.unique(cells, return_inverse=True)
    figures = np.bincount(place, weights=added, minlength=cells.size).astype(np.int64)
    served = figures > view.above
    windows, at = np.unique(cells[served] // labels, return_inverse=True)
    rows = np.bincount(at, minlength=windows.size)
    sums = np.bincount(at, weights=figures[served], minlength=windows.size).astype(np.int64)
    return {
        start: (row, total)
        for start, row, total in zip(windows.tolist(), rows.tolist(), sums.tolist(), strict=True)
    }


def _in_windows(view: View, second: I64, code: I64, adds: I64, labels: int) -> tuple[I64, I64]:
    """Return window and label of each event, as one number, once for each window that holds the event."""
    cells, added = [], []
    for shift in range(0, view.width, view.slide):
        start = second // view.slide * view.slide - shift
        inside = start + view.width > second
        cells.append(start[inside] * labels + code[inside])
        added.append(adds[inside])
    return np.concatenate(cells), np.concatenate(added)


def check_counts(name: str, served: dict[str, Counts], sent: dict[str, Counts]) -> None:
    """Compare every window of the views that a contender serves with the sender's counts.

    Raises:
        UnequalCountsError: names the first that differs.
    """
    for view, counts in served.items():
        truth = sent[view]
        wrong = sorted(key for key in counts.keys() | truth.keys() if counts.get(key) != truth.get(key))
        if wrong:
            raise UnequalCountsError(
                f"{name}: {view}: {len(wrong):,} of {len(truth):,} windows differ, first {wrong[0]}: "
                f"(rows, events) sent {truth.get(wrong[0])}, served {counts.get(wrong[0])}"
            )
