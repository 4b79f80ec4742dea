"""Judges what a stream's commits touched, right after them, in a thread and on a connection of its own.

A commit never waits for it: it finds what was touched since its last round. An error of a detector is
logged, counted and told of; its windows wait for the next attempt, and the others go on. Alerts are
provisional: the seal judges them again (seal.py).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_driver.errors import Error as ClickHouseError

from include.clock import now_ms
from include.contracts import Contract
from include.detect.judge import MOST_FIRED, fault, judge
from include.detect.load import Detector, Loaded, load_detectors
from include.detect.pending import Pending
from include.detect.store import (
    EVERY,
    PROVISIONAL,
    is_prepared,
    new_alert,
    read_alerts,
    write_alerts,
    write_check,
)
from include.reconcile.types import as_utc, epoch
from include.settings import Settings
from include.streaming.vitals import Vitals
from include.streaming.waiting import CONNECTION_ERRORS, passes_with_time
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 3.0
IDLE_SECONDS = 5.0
STATEMENT_SECONDS = 5
ANSWER_SECONDS = 15
REST_SECONDS = 60.0  # of a detector that failed, and of all while their files cannot be read
CHECK_SECONDS = 60.0
RESTART_SECONDS = (
    900  # a new driver judges the hours again into which this much of the ledger's newest rows fell
)
MOST_KNOWN = 20_000


class NotPreparedError(RuntimeError):
    """The tables of the detectors are not there."""


@dataclass
class _Work:
    """One detector, and what it did since its last row in detector_checks."""

    pending: Pending
    known: set[tuple[int, str]] = field(default_factory=set)
    rests_until: float = 0.0
    windows: int = 0
    alerts: int = 0
    failures: int = 0
    slowest: float = 0.0
    error: str = ""

    @property
    def detector(self) -> Detector:
        return self.pending.detector


class Detection(threading.Thread):
    """The detectors of one stream, as long as its job runs."""

    def __init__(
        self, settings: Settings, contract: Contract, vitals: Vitals, loaded: Loaded | None = None
    ) -> None:
        super().__init__(name=f"detect-{contract.stream}", daemon=True)
        self._settings, self._contract, self._vitals = settings, contract, vitals
        self._loaded = loaded
        self.prepared = False
        self._work: list[_Work] = []
        self._client = connect(settings, answer_seconds=ANSWER_SECONDS)
        self._ended = threading.Event()
        self._highest_us = 0
        self._began = self._checked_at = time.monotonic()
        self._resumed = False
        self._in_round = threading.Lock()
        self._said = ""

    def run(self) -> None:
        while not self.prepared and not self._ended.is_set():
            try:
                self.prepare()
            except Exception as error:
                self._note_unread(error)
                self._ended.wait(REST_SECONDS)
        while self._work and not self._ended.is_set():
            self._vitals.touched.arrived.wait(ROUND_SECONDS)
            began = time.monotonic()
            try:
                self.round()
                self._said = ""
            except Exception as error:
                # Detection is no part of the stream: whatever fails here is tried again.
                self._say(error)
                self._client.disconnect()
            # A third of a core at most, as long as alerts come in time.
            self._ended.wait(min(LONGEST_PAUSE_SECONDS, max(ROUND_SECONDS, 2 * (time.monotonic() - began))))
        self._client.disconnect()

    def prepare(self) -> None:
        """Read the detectors; those that are wrong are named and left out."""
        loaded = load_detectors() if self._loaded is None else self._loaded
        for name, said in loaded.faults.items():
            log.error("detector %s is left out: %s", name, said)
        self._work = [_Work(Pending(found)) for found in loaded.of(self._contract.stream)]
        self.prepared = True

    def _note_unread(self, error: Exception) -> None:
        """Say that no detector of the stream runs: to the log once, and at each attempt to those who are told."""
        said, stream = fault(error), self._contract.stream
        if said != self._said:
            self._said = said
            log.error(
                "%s: no detector runs, and all are tried again in %.0f s: %s",
                *(stream, REST_SECONDS, said),
                exc_info=error,
            )
        try:
            write_check(self._client, EVERY, stream, failures=1, error=said)
        except Exception as unwritten:
            log.warning("%s: nobody is told yet that no detector runs: %s", stream, unwritten)
            self._client.disconnect()

    def end(self) -> None:
        """Ask the thread to end; one that waits for ClickHouse ends with the process."""
        self._ended.set()
        self._vitals.touched.arrived.set()

    def round(self) -> None:
        """Judge what can be judged now."""
        with self._in_round:
            self._round()

    def _round(self) -> None:
        if not self._resumed:
            if not is_prepared(self._client):
                raise NotPreparedError("there is no table alerts yet: trigger prepare_platform")
            self._resume()
        panes = self._vitals.touched.take()
        self._highest_us = max(self._highest_us, panes.highest_us)
        now = now_ms()
        # Of events dated ahead, within the contract's skew, none closes a window before its time.
        highest_us = now * 1000 if self._is_idle() else min(self._highest_us, now * 1000)
        for work in self._work:
            work.pending.touch(panes.starts.get(work.detector.cube.name, ()), highest_us)
        for work in self._work:
            if time.monotonic() >= work.rests_until:
                self._judge(work, highest_us)
        if time.monotonic() - self._checked_at >= CHECK_SECONDS:
            self.write_checks()

    def _say(self, error: Exception) -> None:
        if str(error) != self._said:
            self._said = str(error)
            told = not passes_with_time(error)
            log.warning("%s: detection waits: %s", self._contract.stream, error, exc_info=told)

    def _is_idle(self) -> bool:
        last = max(self._began, self._vitals.touched.committed_at)
        return time.monotonic() - last > IDLE_SECONDS and self._vitals.lag == 0

    def _resume(self) -> None:
        """Take up the hours into which batches of the last minutes fell: what an earlier driver left unjudged."""
        rows = self._client.execute(
            read_sql("detect/recent_hours.sql"),
            {"stream": self._contract.stream, "seconds": RESTART_SECONDS},
        )
        now = epoch(datetime.now(UTC))
        for moment, by_arrival in rows:
            first = epoch(as_utc(moment))
            for work in self._work:
                if bool(by_arrival) == (work.detector.cube.arrival_seconds is not None):
                    work.pending.add_hours(first, first + 3600, now)
        self._resumed = True

    def _judge(self, work: _Work, highest_us: int) -> None:
        taken = work.pending.take(highest_us)
        while taken:
            first, end = taken[-1]
            began = time.monotonic()
            try:
                work.alerts += self._judge_range(work, first, end)
            except Exception as error:
                # Whatever is wrong with one detector, its windows wait and the others go on.
                work.pending.put_back(taken)
                self._note(work, error)
                return
            taken.pop()
            work.error = ""
            work.windows += (end - first) // work.detector.header.slide_seconds
            work.slowest = max(work.slowest, time.monotonic() - began)

    def _judge_range(self, work: _Work, first: int, end: int) -> int:
        detector = work.detector
        fired = judge(self._client, detector, first, end, limit_seconds=STATEMENT_SECONDS)
        if len(fired) == MOST_FIRED:
            log.warning(
                "detector %s: more than %d alerts at once; the rest is left out", detector.name, MOST_FIRED
            )
        new = [found for found in fired if (found.start, found.subject) not in work.known]
        if not new:
            return 0
        stream = detector.header.stream
        there = {(a.start, a.subject) for a in read_alerts(self._client, detector.name, stream, first, end)}
        new = [found for found in new if (found.start, found.subject) not in there]
        written = write_alerts(
            self._client, [new_alert(detector, found, PROVISIONAL, now_ms()) for found in new]
        )
        if new:
            first_one = (new[0].subject, new[0].evidence)
            log.warning("%s: %d new alerts, the first of %s: %s", detector.name, len(new), *first_one)
        if len(work.known) > MOST_KNOWN:
            work.known.clear()
        work.known |= {(found.start, found.subject) for found in fired}
        return written

    def _note(self, work: _Work, error: Exception) -> None:
        said, away = fault(error), isinstance(error, CONNECTION_ERRORS)
        rest = ROUND_SECONDS if away else REST_SECONDS
        if said != work.error:
            unforeseen = not away and not isinstance(error, ClickHouseError)
            log.error(
                "detector %s failed, and is tried again in %.0f s: %s",
                *(work.detector.name, rest, said),
                exc_info=error if unforeseen else None,
            )
        work.error, work.failures = said, work.failures + 1
        work.rests_until = time.monotonic() + rest
        self._client.disconnect()

    @property
    def rests(self) -> bool:
        """Whether all that was touched up to the highest event time has been judged."""
        if not self._resumed or self._in_round.locked() or self._vitals.touched.arrived.is_set():
            return False
        return not any(work.pending.is_ready(self._highest_us) for work in self._work)

    def write_checks(self) -> None:
        """Append what each detector did since the last call; an error that stands is said again, on a quiet stream too."""
        self._checked_at = time.monotonic()
        for work in self._work:
            if work.windows or work.failures or work.error:
                write_check(
                    self._client,
                    work.detector.name,
                    work.detector.header.stream,
                    windows=work.windows,
                    alerts=work.alerts,
                    failures=work.failures,
                    slowest_seconds=work.slowest,
                    error=work.error,
                )
            work.windows = work.alerts = work.failures = 0
            work.slowest = 0.0
