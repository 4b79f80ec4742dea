"""Airflow killed, restarted, paused under steady traffic: the stream does not notice.

Every test ends with difference 0, the same driver and no gap in its commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from include.local import supervise
from include.local.damage import AIRFLOW, RESTART_SECONDS, last, paused
from include.local.platform import up
from tests.system.conftest import STREAM, Platform
from tests.system.scenario import driver_ids, longest_pause_seconds, under_traffic

pytestmark = pytest.mark.chaos

GAP_SECONDS = 10


@contextmanager
def unnoticed(platform: Platform) -> Iterator[None]:
    """The stream keeps its driver and commits on during the block; Airflow still works afterwards."""
    ids, generation = driver_ids(platform), platform.generation()
    with under_traffic(platform) as scene:
        since = datetime.now(UTC)
        yield
        scene.recovered("Airflow was away")
        pause = longest_pause_seconds(platform, since)
        assert pause <= GAP_SECONDS, f"{pause:.0f} s passed between two commits"
    assert driver_ids(platform) == ids
    assert platform.generation() == generation
    run = platform.api.run("launch_stream", {"streams": [STREAM]})
    assert run.returned["launch"]["submitted"] is False, run.returned


def test_airflow_killed(streaming: Platform) -> None:
    with unnoticed(streaming):
        assert streaming.damage.kill_all(AIRFLOW) >= len(AIRFLOW)
        last(RESTART_SECONDS)
        streaming.damage.start(*AIRFLOW)


@pytest.mark.long
def test_airflow_redeployed(streaming: Platform) -> None:
    with unnoticed(streaming):
        supervise.stop(streaming.layout, AIRFLOW, 20)
        up(streaming.layout, print)


@pytest.mark.long
def test_a_paused_scheduler(streaming: Platform) -> None:
    with unnoticed(streaming), paused(supervise.members(streaming.layout, ["airflow-scheduler"])):
        last(30)
