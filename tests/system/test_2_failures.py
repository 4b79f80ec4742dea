"""Damage while the stream runs, each ending with zero difference to what the generator sent."""

from __future__ import annotations

import threading
from typing import Any

from include.demo.airflow_api import AirflowApi
from include.local import supervise
from include.local.platform import up
from include.streaming.ledger import read_commit_state
from tests.system.conftest import STREAM, Platform, wait_until

FLOOD = {"malformed": 0.45, "schema_breaking": 0.45}


def live(api: AirflowApi, rate: float, seconds: int, **shares: float) -> str:
    """Start live traffic and return the run."""
    form: dict[str, Any] = {"stream": STREAM, "rate": rate, "duration": seconds, "seed": 7, **shares}
    return api.trigger("generate_traffic", form)


def test_a_flood_of_malformed_records_costs_no_good_one(streaming: Platform) -> None:
    before = streaming.balance()
    run = live(streaming.api, 2_000, 20, **FLOOD)
    report = streaming.api.wait("generate_traffic", run, 180).returned["generate"]
    streaming.catch_up()
    after = streaming.balance()
    assert after.rejected - before.rejected == report["rejected"], (before, after, report)
    assert after.aggregated - before.aggregated == report["accepted"], (before, after, report)
    streaming.assert_nothing_differs()


def test_clickhouse_stopped_for_20_seconds_loses_nothing(streaming: Platform) -> None:
    generation = streaming.generation()
    run = live(streaming.api, 500, 45, late=0.01, duplicate=0.01)
    batches = _batches(streaming)
    wait_until("live traffic to be committed", lambda: _batches(streaming) > batches + 2, 90)
    supervise.stop(streaming.layout, ["clickhouse"], 20)
    _pause(20)
    up(streaming.layout, print)
    streaming.api.wait("generate_traffic", run, 180)
    streaming.catch_up()
    streaming.assert_nothing_differs()
    assert streaming.generation() == generation, "the driver was started again instead of waiting"


def test_a_driver_killed_in_mid_batch_neither_loses_nor_doubles(streaming: Platform) -> None:
    generation = streaming.generation()
    run = live(streaming.api, 2_000, 60, malformed=0.001)
    batches = _batches(streaming)
    wait_until("live traffic to be committed", lambda: _batches(streaming) > batches + 2, 90)
    wait_until("a batch under way", lambda: streaming.lag() > 0, 30, 0.02)
    (driver,) = streaming.driver_processes()
    driver.kill()
    wait_until("a new generation", lambda: streaming.generation() > generation, 120)
    streaming.api.wait("generate_traffic", run, 180)
    streaming.catch_up()
    streaming.assert_nothing_differs()
    assert len(streaming.driver_processes()) == 1


def test_stopping_is_graceful_and_the_next_launch_goes_on_from_the_ledger(streaming: Platform) -> None:
    streaming.api.run("stop_stream", {"streams": [STREAM]})
    wait_until("the driver to end", lambda: not streaming.driver_processes(), 30)
    generation = streaming.generation()
    streaming.api.wait("generate_traffic", live(streaming.api, 500, 5), 120)
    streaming.api.run("launch_stream", {"streams": [STREAM]})
    streaming.catch_up()
    assert streaming.generation() == generation + 1
    streaming.assert_nothing_differs()


def _batches(platform: Platform) -> int:
    client = platform.client()
    rows = read_commit_state(client, STREAM).rows
    client.disconnect()
    return len({row.batch for row in rows})


def _pause(seconds: float) -> None:
    """Let an outage last; what is awaited is its length."""
    threading.Event().wait(seconds)
