"""Event to queryable: from the producer's send until the served view counts the event.

Nothing is stamped inside the pipeline: the k-th event sent has become queryable at the first poll
whose count is at least k. Owns: polling the view while live traffic runs, and the matching.
Leaves to others: sending (run.py), what counts as a good figure (benchmarks/, include/demo).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from include.clock import now_ms
from include.settings import Settings
from include.warehouse.client import connect

POLL_SECONDS = 0.1
# Late traffic reaches back 15 minutes: windows older than this take no live event.
REACH_BACK = timedelta(minutes=20)
COUNT = "SELECT sum(event_count) FROM ad_events_aggregated WHERE window_start >= %(since)s"


class NothingSeenError(RuntimeError):
    """No sent event became queryable while the view was polled."""


@dataclass(frozen=True)
class Latency:
    """Percentiles in seconds over the `count` events that were seen."""

    p50: float
    p99: float
    count: int


def match(sent_at_ms: Sequence[int], seen: Sequence[tuple[int, int]]) -> Latency:
    """Match the k-th event sent with the first poll that counted k.

    Args:
        sent_at_ms: when each acceptable event was handed to the producer, epoch ms, in any order.
        seen: polls in order of time: epoch ms of the answer, events counted since the start.

    An event that no poll counted is left out: compare `count` with what was sent. Percentiles are
    nearest-rank. A poll comes at most its own duration and POLL_SECONDS too late, never too early.

    Raises:
        NothingSeenError: no event was seen, so there is no figure.
    """
    sent = sorted(sent_at_ms)
    waits: list[int] = []
    for at_ms, count in seen:
        waits += [at_ms - sent_ms for sent_ms in sent[len(waits) : count]]
    if not waits:
        raise NothingSeenError(
            f"none of {len(sent)} events sent was seen in {len(seen)} polls of the view: is the stream running?"
        )
    waits.sort()
    return Latency(_nearest_rank(waits, 0.50), _nearest_rank(waits, 0.99), len(waits))


def _nearest_rank(ordered_ms: Sequence[int], share: float) -> float:
    return ordered_ms[math.ceil(share * len(ordered_ms)) - 1] / 1000


class LatencyProbe(threading.Thread):
    """Polls the view of ad_events between start() and stop(), POLL_SECONDS after each answer.

    It counts the windows from 20 minutes before the start on, less what they held at the start.
    Between the two, no other traffic may reach those windows and none of them may be sealed.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="latency-probe", daemon=True)
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        self._since = minute - REACH_BACK
        self._client = connect(settings)
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._seen: list[tuple[int, int]] = []
        self.count_before = 0

    def start(self) -> None:
        """Read the count before, then poll in the background.

        Raises:
            clickhouse_driver.errors.Error: the server cannot be reached or has no view.
        """
        self.count_before = self._count()
        super().start()

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                count = self._count() - self.count_before
                with self._changed:
                    self._seen.append((now_ms(), count))
                    self._changed.notify_all()
                self._ending.wait(POLL_SECONDS)
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            self._client.disconnect()

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until `count` events were seen; return whether they were within the limit."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._counted() >= count, seconds)
            return self._counted() >= count

    def stop(self) -> list[tuple[int, int]]:
        """End polling; return the polls as `match` takes them.

        Raises:
            clickhouse_driver.errors.Error: a poll failed, so that the polls are not complete.
        """
        self._ending.set()
        self.join()
        if self._error is not None:
            raise self._error
        return self._seen

    def _counted(self) -> int:
        return self._seen[-1][1] if self._seen else 0

    def _count(self) -> int:
        return int(self._client.execute(COUNT, {"since": self._since})[0][0])
