"""All streams in one driver: it takes over the one that ran alone, is killed under traffic, and brings all of them back.

Last on purpose: the streams stay together afterwards.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from include.contracts import stream_names
from include.local.damage import last
from include.local.recovery import Recovery
from include.spark.cluster import read_cluster
from include.traffic.steady import SteadyTraffic
from tests.helpers import eventually
from tests.system.conftest import STREAM, Platform
from tests.system.scenario import LIMIT_SECONDS, NORMAL_SECONDS, SHARES, random_moment

pytestmark = pytest.mark.chaos

RATE = 200
OTHERS = [stream for stream in stream_names() if stream != STREAM]


def test_all_streams_of_a_killed_driver_come_back_with_difference_0(streaming: Platform) -> None:
    views = {stream: streaming.looking_at(stream) for stream in stream_names()}
    before = {stream: view.generation() for stream, view in views.items()}
    with ExitStack() as stack:
        for stream in OTHERS:
            traffic = SteadyTraffic(streaming.settings, stream, RATE, **SHARES)
            traffic.start()
            stack.callback(traffic.stop)
        launch = streaming.api.trigger("launch_stream", {"streams": stream_names()})
        launched = _await_takeover(views, before, "one driver has taken all streams over")
        last(random_moment("all streams"))
        (driver,) = [found for found in streaming.damage.drivers() if _carries(found.jvm.cmdline(), OTHERS)]
        driver.jvm.kill()
        _await_takeover(views, launched, "each stream has a new generation")
        for stream, view in views.items():
            seconds = Recovery(view.settings, view.contract).wait(LIMIT_SECONDS, NORMAL_SECONDS)
            print(f"{stream}: caught up {seconds:.1f} s after that")
        run = streaming.api.wait("launch_stream", launch, LIMIT_SECONDS)
        assert run.returned["launch"]["streams"].keys() == views.keys(), run.returned
    for view in views.values():
        view.catch_up()
        view.assert_nothing_differs()
    streaming.assert_one_driver(LIMIT_SECONDS)
    (carried,) = {found.streams for found in read_cluster(streaming.settings).drivers}
    assert carried == set(stream_names())


def _await_takeover(views: dict[str, Platform], before: dict[str, int], what: str) -> dict[str, int]:
    """Wait until each stream has a generation above the one before; return them."""
    eventually(
        lambda: all(view.generation() > before[stream] for stream, view in views.items()),
        what,
        LIMIT_SECONDS,
        0.5,
    )
    return {stream: view.generation() for stream, view in views.items()}


def _carries(command: list[str], streams: list[str]) -> bool:
    """Say whether a driver's command line names these streams."""
    return all(any(stream in word for word in command) for stream in streams)
