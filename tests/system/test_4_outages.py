"""ClickHouse and Kafka stopped or killed under steady traffic: waited for, and nothing is skipped.

Every test ends with difference 0 and exactly one driver.
"""

from __future__ import annotations

import pytest

from include.local.damage import RESTART_SECONDS, last
from tests.system.conftest import Platform
from tests.system.scenario import await_insert, random_moment, the_driver, under_traffic

pytestmark = pytest.mark.chaos


def test_clickhouse_killed_in_mid_insert(streaming: Platform) -> None:
    driver = the_driver(streaming)
    with under_traffic(streaming) as scene:
        clickhouse = streaming.damage.service("clickhouse")
        await_insert(streaming)
        clickhouse.kill()
        last(RESTART_SECONDS)
        streaming.damage.start("clickhouse")
        scene.recovered("ClickHouse killed in mid-insert")
    assert the_driver(streaming) == driver, "the process was started again instead of waiting"


def test_kafka_killed(streaming: Platform) -> None:
    with under_traffic(streaming) as scene:
        last(random_moment("kafka"))
        streaming.damage.kill_and_restart("kafka")
        scene.recovered("Kafka killed")


@pytest.mark.long
def test_clickhouse_stopped_for_a_minute(streaming: Platform) -> None:
    driver = the_driver(streaming)
    with under_traffic(streaming) as scene:
        streaming.damage.outage("clickhouse", 60)
        scene.recovered("ClickHouse stopped for a minute")
    assert the_driver(streaming) == driver, "the process was started again instead of waiting"


@pytest.mark.long
def test_kafka_stopped_for_a_minute(streaming: Platform) -> None:
    with under_traffic(streaming) as scene:
        streaming.damage.outage("kafka", 60)
        scene.recovered("Kafka stopped for a minute")
