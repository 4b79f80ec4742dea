"""Ends a stream gracefully: asks its driver through stop_requests, and kills it only when it does not answer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.settings import Settings
from include.spark.cluster import Driver, kill_driver, read_cluster
from include.spark.heartbeats import Heartbeat, last_heartbeat
from include.streaming.control import newest_claim
from include.warehouse.client import connect

POLL_SECONDS = 0.5
# What a killed driver may take to leave the master's list.
KILL_SECONDS = 20.0
log = logging.getLogger(__name__)


class StopFailedError(RuntimeError):
    """A driver did not stop, and cannot be killed without harm to another stream or at all."""


@dataclass(frozen=True)
class StopReport:
    """How a stream ended. outcome: stopped (graceful), killed (forced), ended (by itself), absent (none ran)."""

    stream: str
    outcome: str
    generation: int
    batch: int
    seconds: float
    drivers: tuple[str, ...]


def request_stop(settings: Settings, stream: str, limit_seconds: float) -> StopReport:
    """Ask the stream's driver to commit its batch and end, and wait until it has left the cluster.

    Asking twice is harmless. A driver that carries other running streams stays for them.

    Raises:
        StopFailedError: the limit passed and the driver could not be killed, or still serves another stream.
        MasterUnreachableError: the master does not answer.
    """
    began = time.monotonic()
    generation = newest_claim(settings, stream)
    client = connect(settings)
    try:
        found = _drivers(settings, stream)
        if not found and not read_cluster(settings).carries(stream):
            return _report(client, stream, "absent", generation, began, ())
        ids = tuple(driver.id for driver in found)
        client.execute(
            "INSERT INTO stop_requests (stream, generation, requested_at) VALUES",
            [(stream, generation, datetime.now(UTC))],
        )
        log.info(
            "asked generation %d of %s to stop: %s",
            generation,
            stream,
            ", ".join(ids) or "no driver id known",
        )
        while time.monotonic() - began < limit_seconds:
            beat = last_heartbeat(client, stream)
            if beat is not None and beat.generation > generation:
                # The driver had not claimed yet when it was asked, or was relaunched meanwhile.
                generation = beat.generation
                _ask(client, stream, generation)
            stopped = beat is not None and beat.generation >= generation and beat.state == "stopped"
            gone = not read_cluster(settings).carries(stream)
            if gone or (stopped and _serves_others(client, _drivers(settings, stream), stream)):
                beat = last_heartbeat(client, stream)
                stopped = beat is not None and beat.generation >= generation and beat.state == "stopped"
                return _report(client, stream, "stopped" if stopped else "ended", generation, began, ids)
            time.sleep(POLL_SECONDS)
        _kill(settings, client, stream, limit_seconds)
        return _report(client, stream, "killed", generation, began, ids)
    finally:
        client.disconnect()


def _ask(client: Client, stream: str, generation: int) -> None:
    client.execute(
        "INSERT INTO stop_requests (stream, generation, requested_at) VALUES",
        [(stream, generation, datetime.now(UTC))],
    )


def _drivers(settings: Settings, stream: str) -> tuple[Driver, ...]:
    return read_cluster(settings).drivers_of(stream)


def _serves_others(client: Client, drivers: tuple[Driver, ...], stream: str) -> list[str]:
    """Return the other streams of these drivers that are still running."""
    others = sorted({name for driver in drivers for name in driver.streams} - {stream})
    beats = [last_heartbeat(client, name) for name in others]
    return [beat.stream for beat in beats if beat is not None and beat.is_healthy()]


def _kill(settings: Settings, client: Client, stream: str, limit_seconds: float) -> None:
    drivers = _drivers(settings, stream)
    others = _serves_others(client, drivers, stream)
    if others:
        raise StopFailedError(
            f"{stream} did not stop within {limit_seconds:.0f} s, and its driver also runs {', '.join(others)}: "
            "stop those too, then it may be killed"
        )
    for driver in drivers:
        log.warning("%s did not stop within %.0f s: killing driver %s", stream, limit_seconds, driver.id)
        kill_driver(settings, driver.id)
    deadline = time.monotonic() + KILL_SECONDS
    while read_cluster(settings).carries(stream):
        if time.monotonic() > deadline:
            names = ", ".join(driver.id for driver in drivers) or "unknown"
            raise StopFailedError(
                f"{stream}: driver {names} is still active {KILL_SECONDS:.0f} s after its kill"
            )
        time.sleep(POLL_SECONDS)


def _report(
    client: Client, stream: str, outcome: str, generation: int, began: float, drivers: tuple[str, ...]
) -> StopReport:
    beat: Heartbeat | None = last_heartbeat(client, stream)
    batch = beat.batch if beat else 0
    return StopReport(stream, outcome, generation, batch, round(time.monotonic() - began, 1), drivers)
