"""Two drivers at once, and drivers that wake up too late: one is left, and what the other writes is void.

Every test ends with difference 0, without any repair, and exactly one driver.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from include.local.damage import last, paused
from include.streaming.ledger import GENERATION_BITS, read_position
from tests.helpers import eventually
from tests.system.conftest import STREAM, Platform
from tests.system.scenario import (
    LIMIT_SECONDS,
    await_insert,
    driver_ids,
    launch_directly,
    the_driver,
    under_traffic,
    unwatched,
)

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.long)])
def test_a_paused_driver_ends_itself_after_a_takeover(streaming: Platform, seconds: float) -> None:
    generation = streaming.generation()
    with unwatched(streaming), under_traffic(streaming) as scene:
        old = the_driver(streaming)
        everyone = old.everyone()
        await_insert(streaming)
        with paused(everyone[::-1]):
            since = time.monotonic()
            launch_directly(streaming.settings, f"takeover-{time.time_ns()}")
            eventually(
                lambda: streaming.generation() > generation, "there is a new generation", LIMIT_SECONDS, 0.5
            )
            scene.recovered("a takeover from a paused driver")
            last(seconds - (time.monotonic() - since))
        eventually(lambda: not _alive(old.jvm), "the old driver has ended itself", 30)
    print(f"ledger rows that generation {generation} wrote too late: {_void_rows(streaming, generation)}")
    assert _last_state(streaming, generation) == "fenced"


@pytest.mark.long
def test_launching_over_a_paused_driver_ends_it(streaming: Platform) -> None:
    generation = streaming.generation()
    with under_traffic(streaming) as scene:
        old = the_driver(streaming)
        await_insert(streaming)
        with paused(old.everyone()[::-1]):
            last(20)  # until its heartbeat counts as missing
            run = streaming.api.run("launch_stream", {"streams": [STREAM]})
            assert run.returned["launch"]["submitted"] is True, run.returned
            scene.recovered("a launch over a paused driver")
        eventually(lambda: not _alive(old.jvm), "the old driver has ended", 30)
    assert streaming.generation() > generation


@pytest.mark.long
def test_two_drivers_launched_at_the_same_moment_become_one(streaming: Platform) -> None:
    with unwatched(streaming), under_traffic(streaming) as scene:
        generation = _stop(streaming)
        with ThreadPoolExecutor(2) as pool:
            names = [f"twin-{number}-{time.time_ns()}" for number in range(2)]
            list(pool.map(lambda name: launch_directly(streaming.settings, name), names))
        eventually(lambda: len(driver_ids(streaming)) == 2, "two drivers are there", 30, 0.5)
        eventually(lambda: streaming.generation() > generation, "one has taken over", LIMIT_SECONDS, 0.5)
        eventually(lambda: len(driver_ids(streaming)) == 1, "the other has ended itself", LIMIT_SECONDS, 0.5)
        scene.recovered("two drivers at once")


@pytest.mark.long
def test_two_triggers_of_launch_stream_submit_once(streaming: Platform) -> None:
    with under_traffic(streaming) as scene:
        _stop(streaming)
        runs = [streaming.api.trigger("launch_stream", {"streams": [STREAM]}) for _ in range(2)]
        ended = [streaming.api.wait("launch_stream", run, 300) for run in runs]
        assert sorted(run.returned["launch"]["submitted"] for run in ended) == [False, True], ended
        scene.recovered("two triggers of launch_stream")


def test_after_a_graceful_stop_a_launch_goes_on_from_the_ledger_without_scratch(streaming: Platform) -> None:
    with under_traffic(streaming) as scene:
        generation = _stop(streaming)
        shutil.rmtree(streaming.settings.scratch_dir)
        streaming.api.run("launch_stream", {"streams": [STREAM]})
        scene.recovered("a deleted scratch folder")
    assert streaming.generation() == generation + 1


def _stop(platform: Platform) -> int:
    """Stop the stream through Airflow; return the generation that ended."""
    platform.api.run("stop_stream", {"streams": [STREAM]})
    eventually(lambda: not platform.driver_processes(), "the driver has ended", 30, 0.5)
    return platform.generation()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _void_rows(platform: Platform, generation: int) -> int:
    client = platform.client()
    upto = read_position(client, STREAM).keep[generation]
    found = client.execute(
        "SELECT count() FROM ledger WHERE stream = %(stream)s AND batch > %(upto)s AND batch < %(next)s",
        {"stream": STREAM, "upto": upto, "next": (generation + 1) << GENERATION_BITS},
    )
    client.disconnect()
    return int(found[0][0])


def _last_state(platform: Platform, generation: int) -> str:
    client = platform.client()
    found = client.execute(
        "SELECT state FROM heartbeats WHERE stream = %(stream)s AND generation = %(generation)s "
        "ORDER BY at DESC LIMIT 1",
        {"stream": STREAM, "generation": generation},
    )
    client.disconnect()
    return str(found[0][0])
