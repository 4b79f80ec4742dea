"""What launches and stops conclude from real heartbeats, claims and orders; the Spark master alone is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from clickhouse_driver import Client

from include.settings import Settings
from include.spark import arrival, progress, stop
from include.spark.arrival import Arrival, LaunchFailedError, await_running
from include.spark.cluster import ClusterState, Driver
from include.spark.orders import LAUNCH, STOP, Order, last_order, record
from include.spark.progress import running_launches
from include.spark.stop import ABSENT, ENDED, FENCED, KILLED, STOPPED, order_stop, request_stop
from include.streaming.control import claim, newest_claim
from include.streaming.ledger import read_position, take_over
from include.warehouse.client import connect

STREAM = "ad_events"


def driver(number: int, launch: str, *streams: str, worker: str = "worker-1") -> Driver:
    name = "stream-" + "+".join(streams or (STREAM,)) if worker else ""
    return Driver(f"driver-{number}", "RUNNING" if worker else "SUBMITTED", name, launch, "", worker)


@dataclass
class Master:
    """A Spark master: its active drivers; a kill ends those that are not stubborn."""

    drivers: list[Driver] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    stubborn: bool = False

    def read_cluster(self, _: Settings) -> ClusterState:
        return ClusterState(tuple(self.drivers), ())

    def driver_state(self, _: Settings, found: str) -> str:
        return next((item.state for item in self.drivers if item.id == found), "FINISHED")

    def kill_driver(self, _: Settings, found: str) -> bool:
        self.killed.append(found)
        if not self.stubborn:
            self.drivers = [item for item in self.drivers if item.id != found]
        return True


@dataclass
class World:
    """A stream's control topic and database, and the master that its drivers run under."""

    settings: Settings
    client: Client
    master: Master

    def claim(self, launch: str, state: str = "running", stream: str = STREAM) -> int:
        """Let a launch claim and take over the stream, and say so."""
        generation = claim(self.settings, stream)
        take_over(self.client, stream, generation)
        self.says(launch, generation, state, stream)
        return generation

    def says(self, launch: str, generation: int, state: str, stream: str = STREAM, age: float = 0.0) -> None:
        now = datetime.now(UTC)
        at = int((now.timestamp() - age) * 1000)
        self.client.execute(
            "INSERT INTO heartbeats (stream, at, day, launch, generation, state, batch, lag, detail) VALUES",
            [(stream, at, now.date(), launch, generation, state, 0, 0, "")],
        )

    def wait(self, launch: str, limit_seconds: float = 5.0, ordered_at: int = 0) -> Arrival:
        own = next((item.id for item in self.master.drivers if item.launch == launch), "driver-0")
        return await_running(
            self.settings,
            streams=[STREAM],
            launch=launch,
            driver=own,
            must_commit=(),
            limit_seconds=limit_seconds,
            ordered_at=ordered_at,
        )


@pytest.fixture
def world(control_topic: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    master = Master()
    for module in (arrival, progress, stop):
        for name in ("read_cluster", "driver_state", "kill_driver"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(master, name))
    monkeypatch.setattr(arrival, "driver_log", lambda *_: "")
    monkeypatch.setattr(stop, "KILL_SECONDS", 1.0)
    monkeypatch.setattr(stop, "NAMING_SECONDS", 1.0)
    client = connect(control_topic)
    yield World(control_topic, client, master)
    client.disconnect()


def test_the_newest_claim_runs_and_ends_the_driver_that_it_fenced(world: World) -> None:
    world.master.drivers = [driver(1, "old"), driver(2, "new")]
    world.claim("old")
    generation = world.claim("new")
    assert world.wait("new") == Arrival({STREAM: generation}, {}, ())
    assert world.master.killed == ["driver-1"]


def test_a_launch_that_was_overtaken_ends_well_names_the_winner_and_ends_its_own_driver(world: World) -> None:
    world.master.drivers = [driver(1, "first"), driver(2, "second")]
    world.claim("first")
    generation = world.claim("second")
    assert world.wait("first") == Arrival({STREAM: generation}, {STREAM: "second"}, ())
    assert world.master.killed == ["driver-1"]


def test_a_driver_that_has_not_claimed_yet_is_left_alone(world: World) -> None:
    world.master.drivers = [driver(1, "first"), driver(2, "second")]
    generation = world.claim("first")
    world.says("second", 0, "starting")
    assert world.wait("first").generations == {STREAM: generation}
    assert world.master.killed == []


def test_a_driver_that_also_runs_another_stream_is_left_to_it(world: World) -> None:
    world.master.drivers = [driver(1, "old", STREAM, "logs"), driver(2, "new")]
    world.claim("old")
    world.claim("new")
    world.wait("new")
    assert world.master.killed == []


def test_a_stop_that_was_ordered_after_the_launch_ends_it(world: World) -> None:
    world.master.drivers = [driver(1, "ours")]
    world.says("ours", 0, "starting")
    record(world.client, Order(stream=STREAM, kind=LAUNCH, by="launch_stream", at=1_000))
    record(world.client, Order(stream=STREAM, kind=STOP, by="stop_stream", at=2_000))
    assert world.wait("ours", ordered_at=1_000) == Arrival({}, {}, (STREAM,))
    assert world.master.killed == ["driver-1"]


def test_a_driver_that_died_fails_the_launch_at_once(world: World) -> None:
    world.says("ours", 0, "starting")
    with pytest.raises(LaunchFailedError, match="driver-0 is FINISHED"):
        world.wait("ours", limit_seconds=60)


def test_a_driver_that_never_runs_is_killed_at_the_limit(world: World) -> None:
    world.master.drivers = [driver(1, "ours")]
    with pytest.raises(LaunchFailedError, match=r"not running and committing after \d+ s"):
        world.wait("ours", limit_seconds=1)
    assert world.master.killed == ["driver-1"]


def test_only_a_fresh_driver_with_the_newest_claim_runs(world: World) -> None:
    world.master.drivers = [driver(1, "ours")]
    generation = world.claim("ours")
    assert running_launches(world.settings, [STREAM])[STREAM].generation == generation
    claim(world.settings, STREAM)
    assert running_launches(world.settings, [STREAM]) == {}


def test_a_driver_whose_heartbeat_is_overdue_is_not_taken_for_healthy(world: World) -> None:
    world.master.drivers = [driver(1, "ours")]
    generation = claim(world.settings, STREAM)
    world.says("ours", generation, "running", age=12.0)
    assert running_launches(world.settings, [STREAM]) == {}


def test_a_stop_is_recorded_before_anything_is_asked(world: World) -> None:
    assert order_stop(world.settings, STREAM, 5, "stop_stream").outcome == ABSENT
    last = last_order(world.client, STREAM)
    assert last is not None
    assert (last.kind, last.by) == (STOP, "stop_stream")


def test_a_stream_that_stopped_leaves_its_driver_to_the_others(world: World) -> None:
    world.master.drivers = [driver(1, "ours", STREAM, "logs")]
    world.claim("ours", "stopped")
    world.claim("ours", stream="logs")
    report = request_stop(world.settings, STREAM, 5)
    assert (report.outcome, report.forced, world.master.killed) == (STOPPED, False, [])


def test_only_a_driver_that_carries_others_is_said_to_stay(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "include.spark.stop")
    world.master.drivers = [driver(1, "shared", STREAM, "logs", "user_events"), driver(2, "own")]
    world.claim("own", "stopped")
    world.claim("shared", stream="logs")
    world.claim("later", stream="user_events")
    assert request_stop(world.settings, STREAM, 5).outcome == STOPPED
    assert caplog.messages[-1] == "driver-1 stays for logs"


def test_a_driver_that_hangs_is_killed_and_said_to_be_forced(world: World) -> None:
    world.master.drivers = [driver(1, "ours")]
    world.claim("ours")
    report = request_stop(world.settings, STREAM, 1)
    assert (report.outcome, report.forced, report.drivers) == (KILLED, True, ("driver-1",))
    assert world.master.killed == ["driver-1"]


def test_of_two_drivers_that_hang_only_the_one_that_runs_nothing_else_is_killed(world: World) -> None:
    world.master.drivers = [driver(1, "shared", STREAM, "logs"), driver(2, "own")]
    generation = world.claim("own")
    world.claim("shared", stream="logs")
    report = request_stop(world.settings, STREAM, 1)
    assert (report.outcome, world.master.killed) == (FENCED, ["driver-2"])
    assert report.generation > generation


@pytest.mark.parametrize(
    "known", ["not known to the master", "not killed by the master", "runs another stream"]
)
def test_a_driver_out_of_reach_is_fenced_by_a_takeover(world: World, known: str) -> None:
    generation = world.claim("ours")
    if known == "not killed by the master":
        world.master.drivers, world.master.stubborn = [driver(1, "ours")], True
    elif known == "runs another stream":
        world.master.drivers = [driver(1, "ours", STREAM, "logs")]
        world.claim("ours", stream="logs")
    report = request_stop(world.settings, STREAM, 1)
    assert (report.outcome, report.forced) == (FENCED, True)
    assert newest_claim(world.settings, STREAM) == report.generation > generation
    position = read_position(world.client, STREAM)
    assert position.generation == report.generation, "the takeover row makes what is written later void"
    assert generation not in position.keep, "it had committed nothing that counts"


def test_a_driver_that_crashed_before_it_could_answer_has_ended(world: World) -> None:
    generation = claim(world.settings, STREAM)
    world.says("ours", generation, "running", age=13.0)
    assert request_stop(world.settings, STREAM, 10).outcome == ENDED


def test_a_driver_that_waits_for_a_worker_is_ended_too(world: World) -> None:
    world.master.drivers = [driver(1, "", worker="")]
    assert request_stop(world.settings, STREAM, 5).outcome == ABSENT
    assert world.master.killed == ["driver-1"]


def test_a_launch_that_was_overtaken_ends_its_driver_before_the_winner_runs(world: World) -> None:
    world.master.drivers = [driver(1, "first"), driver(2, "second")]
    world.claim("first", "starting")
    world.claim("second", "starting")
    with pytest.raises(LaunchFailedError):
        world.wait("first", limit_seconds=2)
    assert "driver-2" not in world.master.killed
    assert world.master.drivers == [driver(2, "second")]
