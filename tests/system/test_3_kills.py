"""kill -9 of each part of the stream under steady traffic; CHAOS_KILLS rounds each, at random moments.

Every test ends with difference 0 and exactly one driver.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.local.damage import RESTART_SECONDS, last
from tests.helpers import eventually
from tests.system.conftest import Platform
from tests.system.scenario import (
    LIMIT_SECONDS,
    driver_ids,
    random_moment,
    the_driver,
    the_executor,
    under_traffic,
)

pytestmark = pytest.mark.chaos

ROUNDS = [
    0,
    *(pytest.param(n, marks=pytest.mark.long) for n in range(1, int(os.environ.get("CHAOS_KILLS", 3)))),
]


@pytest.mark.parametrize("number", ROUNDS)
def test_a_killed_driver_is_started_again_and_goes_on(streaming: Platform, number: int) -> None:
    generation = streaming.generation()
    with under_traffic(streaming) as scene:
        last(random_moment(f"driver {number}"))
        the_driver(streaming).jvm.kill()
        eventually(
            lambda: streaming.generation() > generation, "there is a new generation", LIMIT_SECONDS, 0.5
        )
        scene.recovered("a killed driver, from its takeover")


@pytest.mark.parametrize("number", ROUNDS)
def test_a_killed_executor_is_replaced_within_the_batch(streaming: Platform, number: int) -> None:
    generation = streaming.generation()
    with under_traffic(streaming) as scene:
        last(random_moment(f"executor {number}"))
        the_executor(streaming).jvm.kill()
        scene.recovered("a killed executor")
    assert streaming.generation() == generation, "the driver was started again"


@pytest.mark.parametrize("number", ROUNDS)
def test_a_killed_master_comes_back_to_one_driver(streaming: Platform, number: int) -> None:
    """The driver runs on, unless its worker registers in mid-recovery: then Spark's master starts it anew."""
    generation, ids = streaming.generation(), driver_ids(streaming)
    with under_traffic(streaming) as scene:
        last(random_moment(f"master {number}"))
        streaming.damage.kill_and_restart("spark-master")
        scene.recovered("a killed master")
    kept = driver_ids(streaming) == ids and streaming.generation() == generation
    print(f"the new master {'knew the driver' if kept else 'started the driver anew'}")


@pytest.mark.parametrize("number", ROUNDS)
def test_a_killed_worker_gets_its_driver_back(streaming: Platform, number: int) -> None:
    generation = streaming.generation()
    with under_traffic(streaming) as scene:
        last(random_moment(f"worker {number}"))
        streaming.damage.kill_service("spark-worker")
        last(RESTART_SECONDS)
        streaming.damage.start("spark-worker")
        eventually(
            lambda: streaming.generation() > generation, "there is a new generation", LIMIT_SECONDS, 0.5
        )
        scene.recovered("a killed worker, from the takeover")


@pytest.mark.parametrize(
    "point",
    [
        "before_ledger",
        pytest.param("mid_deltas", marks=pytest.mark.long),
        pytest.param("after_ledger", marks=pytest.mark.long),
    ],
)
def test_a_driver_that_dies_between_two_inserts_neither_loses_nor_doubles(
    streaming: Platform, point: str
) -> None:
    generation = streaming.generation()
    crash = Path(streaming.settings.scratch_dir) / "crash_at"
    with under_traffic(streaming) as scene:
        crash.write_text(point, encoding="utf-8")
        eventually(lambda: not crash.exists(), f"the driver has died at {point}", 30)
        eventually(
            lambda: streaming.generation() > generation, "there is a new generation", LIMIT_SECONDS, 0.5
        )
        scene.recovered(f"a crash at {point}")
