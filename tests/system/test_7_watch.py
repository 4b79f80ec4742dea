"""watch_stream at work: a driver that nobody brings back is launched again, within a budget.

Every test ends with difference 0 and exactly one driver.
"""

from __future__ import annotations

import pytest

from include.demo.airflow_api import AirflowRunError
from include.spark.cluster import kill_driver
from include.spark.orders import LAUNCH, WATCHER, Order, record
from include.watch.repair import BUDGET
from tests.helpers import eventually
from tests.system.conftest import STREAM, Platform
from tests.system.scenario import LIMIT_SECONDS, driver_ids, under_traffic

pytestmark = [pytest.mark.chaos, pytest.mark.long]


def test_a_driver_that_is_gone_for_good_is_launched_again(streaming: Platform) -> None:
    generation = streaming.generation()
    with under_traffic(streaming) as scene:
        _end_for_good(streaming)
        eventually(
            lambda: streaming.generation() > generation, "watch_stream has launched again", LIMIT_SECONDS, 1
        )
        scene.recovered("a driver gone for good, from its takeover")
    client = streaming.client()
    found = client.execute(
        "SELECT by FROM orders WHERE stream = %(s)s ORDER BY at DESC LIMIT 1", {"s": STREAM}
    )
    client.disconnect()
    assert found == [(WATCHER,)]


def test_a_spent_budget_fails_loudly_until_a_person_launches(streaming: Platform) -> None:
    _spend_budget(streaming)
    generation = streaming.generation()
    _end_for_good(streaming)
    # What was launched a moment ago is given time to appear before it counts as gone.
    eventually(lambda: _gives_up(streaming), "watch_stream gives up", LIMIT_SECONDS, 5)
    assert _gives_up(streaming), "the next watch tried again"
    assert not driver_ids(streaming), "it was launched beyond the budget"
    run = streaming.api.run("launch_stream", {"streams": [STREAM]})
    assert run.returned["launch"]["submitted"] is True, run.returned
    streaming.api.run("watch_stream", limit_seconds=LIMIT_SECONDS)
    assert streaming.generation() == generation + 1
    streaming.assert_nothing_differs()
    streaming.assert_one_driver()


def _gives_up(platform: Platform) -> bool:
    """Run watch_stream; return whether it failed because the budget is spent."""
    try:
        platform.api.run("watch_stream", limit_seconds=LIMIT_SECONDS)
    except AirflowRunError as error:
        return "gave up" in str(error)
    return False


def _end_for_good(platform: Platform) -> None:
    """Kill the driver through the master, which a supervised driver does not survive."""
    (driver,) = driver_ids(platform)
    assert kill_driver(platform.settings, driver)
    eventually(lambda: not platform.driver_processes(), "the driver has ended", 60, 0.5)


def _spend_budget(platform: Platform) -> None:
    client = platform.client()
    for number in range(BUDGET):
        record(
            client, Order(stream=STREAM, kind=LAUNCH, by=WATCHER, launch=f"spent-{number}", streams=(STREAM,))
        )
    client.disconnect()
