"""The suites on a served hour of each stream, on a real ClickHouse: clean, and with the rows of one cube gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from include.contracts import load_contracts
from include.quality import run as quality
from include.quality.raw_log import RawSample
from include.quality.report import QualityFailedError
from include.settings import Settings
from include.streaming.ledger import batch_id
from tests.views import Desk, server_desk

HOUR = datetime(2026, 1, 1, 10, tzinfo=UTC)
DAY = "20260101"
SEAL, SEALED_EVENTS = 9, 10
CUBES = [(contract.stream, cube.name) for contract in load_contracts() for cube in contract.cubes]
Figures = dict[str, Any]


def micros(second: float) -> int:
    return round((HOUR.timestamp() + second) * 1e6)


def delayed(count: int, delay_ms: int, delay_us: int) -> Figures:
    arrived = HOUR + timedelta(minutes=10)
    return {"arrived": arrived, "delay_ms": delay_ms, "event_count": count, "delay_max_us": delay_us}


def of_ads(count: int) -> dict[str, list[Figures]]:
    labels = {"country": "US", "ad_format": "banner"}
    click = labels | {"event_type": "click", "event_count": 1, "revenue": 40_000}
    shown = labels | {"event_type": "impression", "event_count": count - 1}
    return {"ad_events": [click, shown], "ad_arrival": [delayed(count, 250, 250_900)]}


def of_logs(count: int) -> dict[str, list[Figures]]:
    timed = {"request_count": count, "timed_count": count, "response_time": 200_000 * count}
    extremes = {"response_time_min": 200_000, "response_time_max": 200_000, "fast_count": count}
    squares = {"response_ms": 200 * count, "response_ms_squared": 40_000 * count}
    place = {"ip_address": "10.0.0.1", "user_id": "u1", "service": "shop"}
    return {
        "log_services": [{"service": "shop", "success_count": count} | timed | extremes | squares],
        "log_access": [place | timed],
        "log_arrival": [delayed(count, 250, 250_900)],
    }


def of_users(count: int) -> dict[str, list[Figures]]:
    """Of these events one is a little later than the contract's lateness, in the bin that begins below it."""
    who = {"user_id": "u1", "action": "view"}
    values = {"value": 2_000_000 * count, "value_min": 2_000_000, "value_max": 2_000_000}
    late_us = micros(600 - 301)
    places = [{"event_us": micros(n), "record_offset": n, "event_count": 1} for n in range(count)]
    return {
        "user_actions": [who | place | {"value": 2_000_000} for place in places],
        "user_minutes": [who | values | {"event_count": count}],
        "user_late": [
            {
                "arrived": HOUR + timedelta(minutes=10),
                "user_id": "u1",
                "event_count": 1,
                "earliest_us": late_us,
            }
        ],
        "user_arrival": [delayed(1, 299_520, 301_000_000), delayed(count - 1, 250, 250_900)],
    }


MADE = {"ad_events": of_ads, "logs": of_logs, "user_events": of_users}


def committed(desk: Desk, stream: str, number: int, start: int, events: int) -> None:
    """Write the ledger row of a batch whose events are all of the hour."""
    numbers = {
        "batch": batch_id(1, number),
        "start_offset": start,
        "lost_to": start,
        "end_offset": start + events,
    }
    row = {"stream": f"'{stream}'", "hours": f"[toDateTime({micros(0) // 10**6}, 'UTC')]"}
    row |= {name: f"toUInt64({figure})" for name, figure in (numbers | {"accepted": events}).items()}
    desk.add("ledger", row | {"hour_events": f"[toUInt64({events})]"})


def serve(desk: Desk, stream: str) -> None:
    """Write a certified hour, a batch after it, and cells of one that is not committed yet."""
    for cube, cells in MADE[stream](SEALED_EVENTS).items():
        for figures in cells:
            desk.sealed(cube, HOUR, seal=SEAL, **figures)
    for batch in (1, 2):
        for cube, cells in MADE[stream](2).items():
            for figures in cells:
                desk.came(cube, HOUR, batch, **figures)
    committed(desk, stream, 0, 0, SEALED_EVENTS)
    committed(desk, stream, 1, SEALED_EVENTS, 2)
    hour = {
        "stream": f"'{stream}'",
        "hour": f"toDateTime({micros(0) // 10**6}, 'UTC')",
        "seal": f"toUInt64({SEAL})",
    }
    events, frontier = f"toUInt64({SEALED_EVENTS})", f"toUInt64({batch_id(1, 0)})"
    desk.add("certificates", hour | {"frontier": frontier, "verdict": "'PROVED'", "events": events})
    desk.add("balances", hour | {"offsets": events, "this_hour": events})
    desk.takes_over()
    desk.ask("SELECT 1 AS one")


@pytest.fixture
def served(
    warehouse: Settings, clickhouse: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings of a warehouse with a served hour of every stream; no record of the raw log is left."""
    desk = server_desk(clickhouse)
    for stream in MADE:
        serve(desk, stream)
    monkeypatch.setattr(quality, "read_sample", lambda *_: RawSample((), 0, 0, 0))
    return warehouse.model_copy(update={"artifacts_dir": tmp_path})


@pytest.mark.parametrize("stream", list(MADE))
def test_a_clean_hour_passes(served: Settings, stream: str) -> None:
    report = quality.check_hours(served, stream, [HOUR])
    assert [
        str(result) for result in report.results if not result.success and result.suite != "raw_log"
    ] == []
    assert {"cubes", "arrival_served", f"{stream}_served"} <= {result.suite for result in report.results}


@pytest.mark.parametrize(("stream", "cube"), CUBES)
def test_an_hour_that_lost_the_rows_of_a_cube_fails_and_names_it(
    served: Settings, clickhouse: Client, stream: str, cube: str
) -> None:
    clickhouse.execute(f"ALTER TABLE {cube}_sealed DROP PARTITION {DAY}")
    with pytest.raises(QualityFailedError) as failed:
        quality.check_hours(served, stream, [HOUR])
    found = [str(r) for r in failed.value.report.failed("critical") if r.suite == "cubes"]
    left = 1 if cube == "user_late" else 2  # what the batch after the certificate brought
    assert any(f'"cube": "{cube}"' in text and f'"events": {left}' in text for text in found), found


def test_events_that_are_counted_twice_in_one_cube_fail(served: Settings, clickhouse: Client) -> None:
    desk = server_desk(clickhouse)
    for figures in of_logs(3)["log_access"]:
        desk.came("log_access", HOUR + timedelta(minutes=1), 1, **figures)
    desk.ask("SELECT 1 AS one")
    with pytest.raises(
        QualityFailedError, match=r'No cube holds too many.*"cube": "log_access", "events": 15'
    ):
        quality.check_hours(served, "logs", [HOUR])


def test_an_hour_that_nobody_has_certified_yet_is_held_against_the_ledger(
    served: Settings, clickhouse: Client
) -> None:
    clickhouse.execute("TRUNCATE TABLE certificates")
    with pytest.raises(QualityFailedError) as failed:
        quality.check_hours(served, "logs", [HOUR])
    (found,) = [str(result) for result in failed.value.report.failed("critical")]
    figures = f'"events": 2, "cube": "log_access", "events_least": {SEALED_EVENTS + 2}'
    assert figures in found
