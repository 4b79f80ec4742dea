"""Damage on purpose, on the real ClickHouse: the chosen rows go, the others stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client

from include.reconcile.inject import DriftNotAllowedError, TooFewRowsError, inject_lost_row, parse_hour
from include.settings import Settings
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, take_over

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
WINDOWS = 30
BATCH = batch_id(1, 0)
STALE = batch_id(7, 0)


@pytest.fixture
def allowed(warehouse: Settings) -> Settings:
    return warehouse.model_copy(update={"allow_inject_drift": True})


def _ledger_row(batch: int) -> LedgerRow:
    return LedgerRow("ad_events", batch, 0, 0, 0, 60, 60, 0, 0, 0, [HOUR], [60], [0], [59], 0, 0, 1)


@pytest.fixture
def open_hour(clickhouse: Client) -> Client:
    """Thirty served deltas of one valid batch, and as many of a driver that nobody took over from."""
    take_over(clickhouse, "ad_events", 1)
    insert_ledger_rows(clickhouse, [_ledger_row(BATCH)])
    clickhouse.execute(
        "INSERT INTO ad_events_delta VALUES",
        [
            (HOUR + timedelta(minutes=i), "click", "UK", "banner", batch, 2, 1_000 + i)
            for i in range(WINDOWS)
            for batch in (BATCH, STALE)
        ],
    )
    return clickhouse


@pytest.fixture
def sealed_hour(open_hour: Client) -> Client:
    """The open hour, sealed twice: the second seal is in force."""
    for seal in (11, 12):
        open_hour.execute(
            "INSERT INTO ad_events_sealed VALUES",
            [
                (
                    HOUR + timedelta(minutes=i),
                    "click",
                    "UK",
                    "banner",
                    BATCH,
                    seal,
                    2,
                    2,
                    1_000 + i,
                    1_000 + i,
                )
                for i in range(WINDOWS)
            ],
        )
        open_hour.execute(
            "INSERT INTO certificates (stream, hour, frontier, seal, verdict) VALUES",
            [("ad_events", HOUR, BATCH, seal, "PROVED")],
        )
    return open_hour


def _count(client: Client, table: str, condition: str) -> int:
    return int(client.execute(f"SELECT count() FROM {table} FINAL WHERE {condition}")[0][0])


def _served(client: Client) -> tuple[int, int]:
    windows, events = client.execute("SELECT count(), sum(event_count) FROM ad_events_aggregated")[0]
    return int(windows), int(events)


def test_an_open_hour_loses_served_deltas_only(allowed: Settings, open_hour: Client) -> None:
    assert _served(open_hour) == (WINDOWS, 2 * WINDOWS)
    injection = inject_lost_row(allowed, "ad_events", HOUR, rows=4, seed=1)
    assert (injection.table, injection.rows, len(injection.removed)) == ("ad_events_delta", 4, 4)
    assert injection.figures["event_count"] == 8
    assert 4_000 <= injection.figures["revenue"] < 4_000 + 4 * WINDOWS
    assert _count(open_hour, "ad_events_delta", f"batch = {STALE}") == WINDOWS
    assert _served(open_hour) == (WINDOWS - 4, 2 * (WINDOWS - 4))


def test_a_sealed_hour_loses_rows_of_the_certificate_in_force_only(
    allowed: Settings, sealed_hour: Client
) -> None:
    injection = inject_lost_row(allowed, "ad_events", HOUR, rows=3, seed=2)
    assert injection.table == "ad_events_sealed"
    assert "seal 12" in injection.where
    assert _count(sealed_hour, "ad_events_sealed", "seal = 12") == WINDOWS - 3
    assert _count(sealed_hour, "ad_events_sealed", "seal = 11") == WINDOWS
    assert _count(sealed_hour, "ad_events_delta", f"batch = {BATCH}") == WINDOWS
    assert _served(sealed_hour) == (WINDOWS - 3, 2 * (WINDOWS - 3))


def test_the_seed_decides_which_rows_go_and_a_second_run_takes_others(
    allowed: Settings, open_hour: Client
) -> None:
    first = inject_lost_row(allowed, "ad_events", HOUR, rows=5, seed=3)
    second = inject_lost_row(allowed, "ad_events", HOUR, rows=5, seed=3)
    assert set(first.removed) & set(second.removed) == set()
    assert _served(open_hour)[0] == WINDOWS - 10


def test_more_rows_than_are_served_are_refused_and_nothing_goes(allowed: Settings, open_hour: Client) -> None:
    with pytest.raises(TooFewRowsError, match="holds 30 served rows, fewer than the 31"):
        inject_lost_row(allowed, "ad_events", HOUR, rows=WINDOWS + 1, seed=1)
    with pytest.raises(TooFewRowsError, match="holds 0 served rows"):
        inject_lost_row(allowed, "ad_events", HOUR + timedelta(hours=1), rows=1, seed=1)
    assert _served(open_hour)[0] == WINDOWS


def test_nothing_is_damaged_unless_the_setting_allows_it(warehouse: Settings, open_hour: Client) -> None:
    forbidden = warehouse.model_copy(update={"allow_inject_drift": False})
    with pytest.raises(DriftNotAllowedError, match="PLATFORM_ALLOW_INJECT_DRIFT"):
        inject_lost_row(forbidden, "ad_events", HOUR, rows=1, seed=1)
    assert _served(open_hour)[0] == WINDOWS


def test_only_whole_hours_are_hours() -> None:
    assert parse_hour("2026-01-01T05:00:00Z") == HOUR
    with pytest.raises(ValueError, match="not a whole hour"):
        parse_hour("2026-01-01T05:30:00Z")
