"""Whether streams run: heartbeats, ledger and the cluster's own view, read together."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence

from include.contracts import load_contract
from include.settings import Settings
from include.spark.cluster import DEAD_STATES, driver_log, driver_state, kill_driver, log_tail, read_cluster
from include.spark.heartbeats import Heartbeat, has_committed, last_heartbeat
from include.streaming.ledger import read_position
from include.topics.offsets import EARLIEST, Offsets
from include.warehouse.client import connect

POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


class LaunchFailedError(RuntimeError):
    """A launch was not seen running; the message says where its log is and ends with its last lines."""


def running_launches(settings: Settings, streams: Sequence[str]) -> dict[str, Heartbeat]:
    """Return the heartbeat of each stream that runs: said so within 15 s, and the master knows its driver."""
    client = connect(settings)
    try:
        beats = {stream: last_heartbeat(client, stream) for stream in streams}
    finally:
        client.disconnect()
    healthy = {stream: beat for stream, beat in beats.items() if beat is not None and beat.is_healthy()}
    if not healthy:
        return {}
    cluster = read_cluster(settings)
    return {stream: beat for stream, beat in healthy.items() if cluster.carries(stream)}


def waiting_offsets(settings: Settings, stream: str, start: str = EARLIEST) -> int:
    """Return how many offsets of the stream's topic are beyond its ledger; start counts where there is none.

    Raises:
        TopicMissingError: the topic does not exist.
    """
    client = connect(settings)
    try:
        frontier = read_position(client, stream).frontier
    finally:
        client.disconnect()
    offsets = Offsets(settings, load_contract(stream).topic.name)
    begin = offsets.begin_at(EARLIEST if frontier else start)
    return sum(max(0, end - max(begin[p], frontier.get(p, 0))) for p, end in offsets.ends().items())


def await_running(
    settings: Settings,
    *,
    streams: Sequence[str],
    launch: str,
    driver: str,
    must_commit: Collection[str],
    limit_seconds: float,
) -> dict[str, int]:
    """Wait for `running` of this launch and for a ledger row of each stream that has data; return generations.

    Then ends drivers that an earlier launch left for the same streams. A driver that never said
    `running` within the limit is killed, so that a supervised one does not come back for ever.

    Raises:
        LaunchFailedError: the driver died, or the limit passed.
    """
    deadline = time.monotonic() + limit_seconds
    client = connect(settings)
    try:
        while True:
            beats = {stream: last_heartbeat(client, stream, launch) for stream in streams}
            running = {s: b for s, b in beats.items() if b is not None and b.state == "running"}
            late = [s for s in streams if s not in running]
            late += [
                s for s in must_commit if s in running and not has_committed(client, s, running[s].generation)
            ]
            if not late:
                break
            state = driver_state(settings, driver)
            if state in DEAD_STATES and not _relaunched(settings, launch):
                raise _failure(settings, driver, f"driver {driver} is {state}", beats)
            if time.monotonic() > deadline:
                missing = f"{', '.join(late)} not running and committing after {limit_seconds:.0f} s"
                failure = _failure(settings, driver, f"{missing}, driver {driver} is {state}", beats)
                if not running:
                    kill_driver(settings, driver)
                raise failure
            time.sleep(POLL_SECONDS)
    finally:
        client.disconnect()
    for beat in running.values():
        done = "its first batch is committed" if beat.stream in must_commit else "nothing to commit yet"
        log.info("%s runs: generation %d, %s", beat.stream, beat.generation, done)
    _end_predecessors(settings, streams, launch)
    return {stream: beat.generation for stream, beat in running.items()}


def _relaunched(settings: Settings, launch: str) -> bool:
    """A supervised driver gets a new id when its worker is lost."""
    return any(found.launch == launch for found in read_cluster(settings).drivers)


def _end_predecessors(settings: Settings, streams: Sequence[str], launch: str) -> None:
    """Kill drivers of other launches whose every stream this launch has taken over: they are fenced."""
    for driver in read_cluster(settings).drivers:
        if driver.streams and driver.streams <= set(streams) and driver.launch != launch:
            log.info("ending driver %s of launch %s, which was taken over", driver.id, driver.launch)
            kill_driver(settings, driver.id)


def _failure(
    settings: Settings, driver: str, what: str, beats: dict[str, Heartbeat | None]
) -> LaunchFailedError:
    said = "; ".join(
        f"{beat.stream} last said {beat.state} {beat.age_seconds():.0f} s ago {beat.detail}".rstrip()
        for beat in beats.values()
        if beat is not None
    )
    address = driver_log(settings, driver)
    where = (
        f"its log is at {address}, and ends:\n{log_tail(address)}" if address else "no worker holds its log"
    )
    return LaunchFailedError(f"{what}; {said or 'no heartbeat of this launch'}; {where}")
