"""Ends a stream gracefully: asks its driver through stop_requests, and forces it only when it does not answer.

Forced means: the driver is killed or, where the master does not know it, or it serves other streams, the stream is
taken from it by a takeover of its own, after which nothing that it still writes counts.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import stream_names
from include.settings import Settings
from include.spark.cluster import NAMING_SECONDS, ClusterState, Driver, kill_driver, read_cluster
from include.spark.heartbeats import last_heartbeat, live_launches
from include.spark.orders import STOP, Order, last_order, record
from include.streaming.control import claim, newest_claim
from include.streaming.ledger import take_over
from include.warehouse.client import connect

POLL_SECONDS = 0.5
# What a killed driver may take to leave the master's list: its worker waits 10 s before it kills in earnest.
KILL_SECONDS = 30.0
STOPPED, ENDED, ABSENT, KILLED, FENCED = "stopped", "ended", "absent", "killed", "fenced"
FORCED = (KILLED, FENCED)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StopReport:
    """How a stream ended.

    outcome: stopped (graceful), ended (by itself), absent (none ran), killed (forced), fenced (forced: the driver is
    out of reach or serves other streams, and what it still writes for this one is void).
    """

    stream: str
    outcome: str
    forced: bool
    generation: int
    batch: int
    seconds: float
    drivers: tuple[str, ...]


def order_stop(settings: Settings, stream: str, limit_seconds: float, by: str) -> StopReport:
    """Record that the stream is to stop, so that nothing starts it again, and stop it.

    Raises:
        MasterUnreachableError: the master does not answer; the order stands.
    """
    client = connect(settings)
    try:
        record(client, Order(stream=stream, kind=STOP, by=by))
    finally:
        client.disconnect()
    return request_stop(settings, stream, limit_seconds)


def request_stop(settings: Settings, stream: str, limit_seconds: float) -> StopReport:
    """Ask the stream's driver to commit its batch and end, and wait until it has left the cluster.

    Asking twice is harmless. A driver that carries other running streams stays for them.

    Raises:
        MasterUnreachableError: the master does not answer.
        ControlTopicError: Kafka does not answer.
    """
    client = connect(settings)
    try:
        return _Stop(settings, client, stream, limit_seconds).run()
    finally:
        client.disconnect()


class _Stop:
    """One stop of one stream."""

    def __init__(self, settings: Settings, client: Client, stream: str, limit_seconds: float) -> None:
        self._settings, self._client, self._stream = settings, client, stream
        self._began, self._limit = time.monotonic(), limit_seconds
        self._generation = newest_claim(settings, stream)
        self._ids: tuple[str, ...] = ()

    def run(self) -> StopReport:
        cluster = self._named_cluster()
        self._ids = tuple(driver.id for driver in cluster.drivers_of(self._stream))
        if not cluster.carries(self._stream) and not self._alive():
            self._end_waiting(cluster)
            return self._report(ABSENT)
        self._ask()
        while time.monotonic() - self._began < self._limit:
            if outcome := self._outcome():
                self._end_waiting(read_cluster(self._settings))
                return self._report(outcome)
            time.sleep(POLL_SECONDS)
        outcome = self._force()
        self._end_waiting(read_cluster(self._settings))
        return self._report(outcome)

    def _named_cluster(self) -> ClusterState:
        """Return the cluster once the drivers that were just submitted can be told apart, or after NAMING_SECONDS."""
        while True:
            cluster = read_cluster(self._settings)
            nameless = [driver.id for driver in cluster.drivers if not driver.name and driver.worker]
            if not nameless or time.monotonic() - self._began > NAMING_SECONDS:
                return cluster
            time.sleep(POLL_SECONDS)

    def _ask(self) -> None:
        self._client.execute(
            "INSERT INTO stop_requests (stream, generation, requested_at) VALUES",
            [(self._stream, self._generation, datetime.now(UTC))],
        )
        known = ", ".join(self._ids) or "no driver id known"
        log.info("asked generation %d of %s to stop: %s", self._generation, self._stream, known)

    def _outcome(self) -> str:
        """Return how the stream ended, empty while it has not."""
        beat = last_heartbeat(self._client, self._stream)
        if beat is not None and beat.generation > self._generation:
            # The driver had not claimed yet when it was asked, or was relaunched meanwhile.
            self._generation = beat.generation
            self._ask()
        stopped = beat is not None and beat.generation >= self._generation and beat.state == "stopped"
        cluster = read_cluster(self._settings)
        if cluster.carries(self._stream):
            drivers = cluster.drivers_of(self._stream)
            served = self._others(drivers)
            if not (stopped and served):
                return ""
            # One that carries nothing else is on its way out.
            log.info("%s stays for %s", ", ".join(self._shared(drivers)), ", ".join(served))
            return STOPPED
        if self._alive():
            return ""
        return STOPPED if stopped else ENDED

    def _alive(self) -> bool:
        return bool(live_launches(self._client, self._stream))

    def _shared(self, drivers: tuple[Driver, ...]) -> list[str]:
        """Return the ids of those of these drivers that still run other streams."""
        return [driver.id for driver in drivers if self._others((driver,))]

    def _others(self, drivers: tuple[Driver, ...]) -> list[str]:
        """Return the other streams that these drivers still run; one may run in a later driver of its own by now."""
        launches = {driver.launch for driver in drivers}
        others = sorted({name for driver in drivers for name in driver.streams} - {self._stream})
        beats = [last_heartbeat(self._client, name) for name in others]
        running = [beat for beat in beats if beat is not None and beat.is_healthy()]
        return [beat.stream for beat in running if beat.launch in launches or "" in launches]

    def _force(self) -> str:
        drivers = read_cluster(self._settings).drivers_of(self._stream)
        shared = self._shared(drivers)
        for driver in drivers:
            if driver.id not in shared:
                log.warning(
                    "%s did not stop within %.0f s: killing driver %s", self._stream, self._limit, driver.id
                )
                kill_driver(self._settings, driver.id)
        if shared:
            return self._fence(f"driver {', '.join(shared)} also runs {', '.join(self._others(drivers))}")
        if not drivers:
            return self._fence("the master knows no driver of it")
        deadline = time.monotonic() + KILL_SECONDS
        while read_cluster(self._settings).carries(self._stream):
            if time.monotonic() > deadline:
                names = ", ".join(driver.id for driver in drivers)
                return self._fence(f"driver {names} is still active {KILL_SECONDS:.0f} s after its kill")
            time.sleep(POLL_SECONDS)
        return KILLED

    def _fence(self, why: str) -> str:
        """Take the stream over without starting it: the old driver's writes are void, and it ends when it looks."""
        log.warning("%s did not stop within %.0f s, and %s: fencing it", self._stream, self._limit, why)
        self._generation = claim(self._settings, self._stream)
        take_over(self._client, self._stream, self._generation)
        return FENCED

    def _end_waiting(self, cluster: ClusterState) -> None:
        """Kill drivers that wait for a worker: the stream's own may be one of them, and would start by itself later.

        Without a worker they have no name. They are left alone while another stream is wanted and does not run.
        """
        waiting = [driver.id for driver in cluster.drivers if not driver.worker]
        others = [name for name in stream_names() if name != self._stream]
        missing = [name for name in others if self._is_wanted(name) and not live_launches(self._client, name)]
        for driver in waiting:
            if missing:
                log.warning(
                    "driver %s waits for a worker and may be of %s: it is left alone", driver, missing
                )
            else:
                log.info("ending driver %s, which waits for a worker", driver)
                kill_driver(self._settings, driver)

    def _is_wanted(self, stream: str) -> bool:
        order = last_order(self._client, stream)
        return order is not None and order.is_launch

    def _report(self, outcome: str) -> StopReport:
        beat = last_heartbeat(self._client, self._stream)
        seconds = round(time.monotonic() - self._began, 1)
        batch = beat.batch if beat else 0
        return StopReport(
            self._stream, outcome, outcome in FORCED, self._generation, batch, seconds, self._ids
        )
