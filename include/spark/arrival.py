"""What became of a launch: its driver runs, a newer launch has taken its streams over, or it failed.

Two launches at one moment end with one driver: the later claim fences the earlier, whose launch then
ends well and names the winner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from include.settings import Settings
from include.spark.cluster import (
    DEAD_STATES,
    MasterUnreachableError,
    driver_log,
    driver_state,
    kill_driver,
    log_tail,
    read_cluster,
)
from include.spark.heartbeats import Heartbeat, has_committed, last_heartbeat
from include.spark.orders import last_order
from include.streaming.control import ControlLog
from include.warehouse.client import connect

POLL_SECONDS = 1.0
PATIENCE = 2
RUNS, TAKEN_OVER, STOPPED, WAITS = "runs", "taken over", "stopped", "waits"
log = logging.getLogger(__name__)


class LaunchFailedError(RuntimeError):
    """A launch was not seen running; the message says where its log is and ends with its last lines."""


@dataclass(frozen=True)
class Sight:
    """What is seen of one stream of a launch: its own last heartbeat, that of the newest generation, the newest claim.

    committed says that the ledger holds a row of this launch's generation, or that no data waited; ordered_away
    that a person ordered a stop after this launch; dead that its driver does not run and will not.
    """

    own: Heartbeat | None
    newest: Heartbeat | None
    claim: int
    committed: bool = True
    ordered_away: bool = False
    dead: bool = False

    def progress(self) -> tuple[int, int]:
        """Return what changes while a launch gets on: on a busy machine its heartbeats are all that is seen of it."""
        return (self.own.at_ms if self.own else 0, self.claim)

    def is_behind(self) -> bool:
        """Return whether the stream was claimed after what this launch last told of, by another or by itself."""
        return self.own is not None and 0 < self.own.generation < self.claim

    def is_overtaken(self) -> bool:
        """Return whether the newest claim is another launch's: this one cannot commit any more."""
        return self.is_behind() and self._is_won()

    def _is_won(self) -> bool:
        other = self.newest
        ours = other is not None and self.own is not None and other.launch == self.own.launch
        return other is not None and not ours and other.generation == self.claim

    def verdict(self) -> str:
        """Return runs, taken over, stopped or waits."""
        own = self.own
        if own and own.is_healthy() and own.generation == self.claim and not self.dead:
            return RUNS if self.committed else WAITS
        healthy = self.newest is not None and self.newest.is_healthy()
        if (self.dead or self.is_behind()) and self._is_won() and healthy:
            return TAKEN_OVER
        # A driver that has claimed hears the stop itself.
        unheard = own is None or not own.generation or own.state == "stopped"
        return STOPPED if self.ordered_away and unheard else WAITS


@dataclass(frozen=True)
class Arrival:
    """How a launch ended: the generation that runs each stream, and the launch that took a stream over."""

    generations: dict[str, int]
    taken_over: dict[str, str]
    stopped: tuple[str, ...]


def await_running(
    settings: Settings,
    *,
    streams: Sequence[str],
    launch: str,
    driver: str,
    must_commit: Collection[str],
    limit_seconds: float,
    ordered_at: int = 0,
) -> Arrival:
    """Wait until each stream runs under this launch and, where data waits, has committed, or runs under a newer one.

    Then ends the drivers of fenced launches of these streams. ordered_at is when this launch was ordered, epoch
    milliseconds; a stop that a person orders after it ends the launch, and its driver. limit_seconds is how long it
    may take without any progress or heartbeat; in all it may take PATIENCE times that. A driver that has not said
    `running` by then is killed, so that a supervised one does not come back for ever; one that another launch has
    overtaken is killed at once, to leave the machine to the other.

    Raises:
        LaunchFailedError: the driver died, or the limit passed.
    """
    watch = _Watch(settings, streams, launch, driver, must_commit, ordered_at)
    patience = _Patience(limit_seconds)
    try:
        while True:
            sights = watch.look(patience)
            patience.note([sight.progress() for sight in sights.values()])
            watch.tell(sights)
            watch.end_overtaken(sights)
            verdicts = {stream: sight.verdict() for stream, sight in sights.items()}
            if WAITS not in verdicts.values():
                _end_fenced(settings, watch, sights, verdicts)
                # A driver that claimed meanwhile may have been on its way: what is decided is looked at once more.
                if {stream: sight.verdict() for stream, sight in watch.look(patience).items()} == verdicts:
                    return _arrival(sights, verdicts, must_commit)
            beats = {stream: sight.own for stream, sight in sights.items()}
            if watch.is_hopeless(sights):
                raise _failure(settings, driver, f"driver {driver} is {watch.state}", beats)
            if patience.is_over():
                waits = ", ".join(stream for stream, verdict in verdicts.items() if verdict == WAITS)
                what = f"{waits} not running and committing after {patience.seconds():.0f} s, driver {driver} is {watch.state}"
                failure = _failure(settings, driver, what, beats)
                if not any(beat is not None and beat.state == "running" for beat in beats.values()):
                    _kill_launch(settings, launch, driver)
                raise failure
            time.sleep(POLL_SECONDS)
    finally:
        watch.close()


class _Patience:
    """How long a launch is waited for: limit_seconds since its last progress, PATIENCE times that in all."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit, self._began = limit_seconds, time.monotonic()
        self._since = self._began
        self._seen: object = None

    def note(self, progress: object) -> None:
        if progress != self._seen:
            self._since, self._seen = time.monotonic(), progress

    def is_over(self) -> bool:
        now = time.monotonic()
        return now > self._since + self._limit or now > self._began + PATIENCE * self._limit

    def seconds(self) -> float:
        return time.monotonic() - self._began


class _Watch:
    """Reads the sights of one launch again and again."""

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[str],
        launch: str,
        driver: str,
        must_commit: Collection[str],
        ordered_at: int,
    ) -> None:
        self._settings, self._streams, self.launch, self._driver = settings, streams, launch, driver
        self._must_commit, self._ordered_at = must_commit, ordered_at
        self._client, self._control = connect(settings), ControlLog(settings)
        self._first_claims = {stream: self._control.newest_claim(stream) for stream in streams}
        self.state, self.dead = "", False
        self._told: dict[str, str] = {}

    def look(self, patience: _Patience) -> dict[str, Sight]:
        """Return what is seen now; a master that is away is waited for too."""
        while True:
            try:
                self.state = driver_state(self._settings, self._driver)
                self.dead = self.state in DEAD_STATES and not is_carried(self._settings, self.launch)
                break
            except MasterUnreachableError as error:
                if patience.is_over():
                    raise
                log.warning("%s", error)
        return {stream: self._sight(stream) for stream in self._streams}

    def _sight(self, stream: str) -> Sight:
        newest = last_heartbeat(
            self._client, stream
        )  # first: what is newest and ours is then seen as ours too
        own = last_heartbeat(self._client, stream, self.launch)
        committed = stream not in self._must_commit or (
            own is not None and has_committed(self._client, stream, own.generation)
        )
        order = last_order(self._client, stream)
        away = order is not None and not order.is_launch and 0 < self._ordered_at < order.at
        return Sight(own, newest, self._control.newest_claim(stream), committed, away, self.dead)

    def end_overtaken(self, sights: Mapping[str, Sight]) -> None:
        """Kill this launch's driver once it has lost every stream."""
        if not self.dead and all(sight.is_overtaken() for sight in sights.values()):
            claims = ", ".join(f"generation {sight.claim} of {stream}" for stream, sight in sights.items())
            log.info("launch %s was overtaken by %s: ending driver %s", self.launch, claims, self._driver)
            _kill_launch(self._settings, self.launch, self._driver)

    def tell(self, sights: Mapping[str, Sight]) -> None:
        """Log what a launch has come to, a line a stream whenever that changes."""
        for stream, sight in sights.items():
            said = f"driver {self.state}, no heartbeat yet"
            if sight.own is not None:
                waits = "" if sight.committed or sight.own.state != "running" else ", not committed yet"
                claimed = f", generation {sight.own.generation}" if sight.own.generation else ""
                said = f"{sight.own.state}{claimed}{waits}"
            if self._told.get(stream) != said:
                self._told[stream] = said
                log.info("%s: %s", stream, said)

    def is_hopeless(self, sights: Mapping[str, Sight]) -> bool:
        """Return whether the driver is dead and nobody has claimed a stream since, whose driver may be starting."""
        return self.dead and not any(
            sight.is_behind()
            if sight.own and sight.own.generation
            else sight.claim > self._first_claims[stream]
            for stream, sight in sights.items()
        )

    def is_fenced(self, launch: str, sights: Mapping[str, Sight]) -> bool:
        """Return whether a launch has claimed some of these streams and holds none of them any more."""
        beats = {stream: last_heartbeat(self._client, stream, launch) for stream in sights}
        claimed = {s: b.generation for s, b in beats.items() if b is not None and b.generation}
        return bool(claimed) and all(g < sights[s].claim for s, g in claimed.items())

    def close(self) -> None:
        self._control.close()
        self._client.disconnect()


def is_carried(settings: Settings, launch: str) -> bool:
    """Return whether a driver of this launch is active: a supervised one gets a new id when its worker is lost."""
    return any(found.launch == launch for found in read_cluster(settings).drivers)


def _arrival(
    sights: Mapping[str, Sight], verdicts: Mapping[str, str], must_commit: Collection[str]
) -> Arrival:
    generations, taken_over = {}, {}
    for stream, sight in sights.items():
        if verdicts[stream] == RUNS and sight.own:
            done = "its first batch is committed" if stream in must_commit else "nothing to commit yet"
            log.info("%s runs: generation %d, %s", stream, sight.own.generation, done)
            generations[stream] = sight.own.generation
        elif verdicts[stream] == TAKEN_OVER and sight.newest:
            newest = sight.newest
            log.warning(
                "%s runs, though not by this launch: launch %s took it over as generation %d",
                *(stream, newest.launch, newest.generation),
            )
            generations[stream], taken_over[stream] = newest.generation, newest.launch
    stopped = tuple(stream for stream, verdict in verdicts.items() if verdict == STOPPED)
    if stopped:
        log.warning("%s: a stop was ordered after this launch; its driver was ended", ", ".join(stopped))
    return Arrival(generations, taken_over, stopped)


def _end_fenced(
    settings: Settings, watch: _Watch, sights: Mapping[str, Sight], verdicts: Mapping[str, str]
) -> None:
    """Kill drivers whose every stream has been taken over by a newer claim, or was ordered to stop.

    A driver that has not claimed yet is left alone: it may be the newest one next.
    """
    given_up = set(verdicts.values()) <= {TAKEN_OVER, STOPPED}
    for driver in read_cluster(settings).drivers:
        if not (driver.streams and driver.streams <= set(sights)):
            continue
        own = driver.launch == watch.launch
        if given_up if own else watch.is_fenced(driver.launch, sights):
            log.info(
                "ending driver %s of launch %s, which no longer holds a stream", driver.id, driver.launch
            )
            kill_driver(settings, driver.id)


def _kill_launch(settings: Settings, launch: str, driver: str) -> None:
    ids = {found.id for found in read_cluster(settings).drivers if found.launch == launch} | {driver}
    for found in sorted(ids):
        kill_driver(settings, found)


def _failure(
    settings: Settings, driver: str, what: str, beats: Mapping[str, Heartbeat | None]
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
