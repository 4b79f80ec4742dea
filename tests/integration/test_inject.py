"""Damage on purpose, on the real ClickHouse: the chosen rows are damaged, the others stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_driver import Client

from include.reconcile.inject.order import (
    DriftNotAllowedError,
    Injection,
    NoFreeBatchError,
    TooFewRowsError,
    parse_hour,
)
from include.reconcile.inject.registry import UnknownDriftError, inject_drift
from include.settings import Settings
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, read_commit_state, take_over
from tests.databases import count_rows

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
WINDOWS = 30
FIRST, SECOND, THIRD = (batch_id(2, number) for number in range(3))
STALE = batch_id(7, 0)
SERVED = (WINDOWS, 2 * WINDOWS)

Do = Callable[..., Injection]


@pytest.fixture
def do(warehouse: Settings) -> Do:
    settings = warehouse.model_copy(update={"allow_inject_drift": True})

    def injected(kind: str, size: int = 1, seed: int = 1, hour: datetime = HOUR, cube: str = "") -> Injection:
        return inject_drift(settings, kind, "ad_events", hour, size, seed, cube=cube)

    return injected


def _ledger_row(batch: int, start: int) -> LedgerRow:
    end = start + 60
    return LedgerRow(
        "ad_events", batch, 0, start, start, end, 60, 0, 0, 0, [HOUR], [60], [start], [end - 1], 0, 0, 1
    )


@pytest.fixture
def open_hour(clickhouse: Client) -> Client:
    """Thirty served deltas of one valid batch between two others, and as many of a driver that nobody knows."""
    take_over(clickhouse, "ad_events", 1)
    take_over(clickhouse, "ad_events", 2)
    for number, batch in enumerate((FIRST, SECOND, THIRD)):
        insert_ledger_rows(clickhouse, [_ledger_row(batch, 60 * number)])
    clickhouse.execute(
        "INSERT INTO ad_events_delta VALUES",
        [
            (HOUR + timedelta(minutes=i), "click", "UK", "banner", batch, 2, 1_000 + i)
            for i in range(WINDOWS)
            for batch in (SECOND, STALE)
        ],
    )
    return clickhouse


@pytest.fixture
def sealed_hour(open_hour: Client) -> Client:
    """The open hour, sealed twice: the second seal is in force."""
    for seal in (11, 12):
        rows = [
            (HOUR + timedelta(minutes=i), "click", "UK", "banner", THIRD, seal, 2, 2, 1_000 + i, 1_000 + i)
            for i in range(WINDOWS)
        ]
        open_hour.execute("INSERT INTO ad_events_sealed VALUES", rows)
        open_hour.execute(
            "INSERT INTO certificates (stream, hour, frontier, seal, verdict) VALUES",
            [("ad_events", HOUR, THIRD, seal, "PROVED")],
        )
    return open_hour


def _served(client: Client) -> tuple[int, int]:
    windows, events = client.execute("SELECT count(), sum(event_count) FROM ad_events_aggregated")[0]
    return int(windows), int(events)


def test_an_open_hour_loses_served_deltas_only(do: Do, open_hour: Client) -> None:
    assert _served(open_hour) == SERVED
    injection = do("lost_row", size=4)
    assert (injection.table, injection.rows, len(injection.touched)) == ("ad_events_delta", 4, 4)
    assert injection.figures["event_count"] == 8
    assert 4_000 <= injection.figures["revenue"] < 4_000 + 4 * WINDOWS
    assert count_rows(open_hour, "ad_events_delta", f"batch = {STALE}") == WINDOWS
    assert _served(open_hour) == (WINDOWS - 4, 2 * (WINDOWS - 4))


def test_a_sealed_hour_loses_rows_of_the_certificate_in_force_only(do: Do, sealed_hour: Client) -> None:
    injection = do("lost_row", size=3, seed=2)
    assert injection.table == "ad_events_sealed"
    assert "seal 12" in injection.where
    assert count_rows(sealed_hour, "ad_events_sealed", "seal = 12") == WINDOWS - 3
    assert count_rows(sealed_hour, "ad_events_sealed", "seal = 11") == WINDOWS
    assert count_rows(sealed_hour, "ad_events_delta", f"batch = {SECOND}") == WINDOWS
    assert _served(sealed_hour) == (WINDOWS - 3, 2 * (WINDOWS - 3))


def test_the_seed_decides_which_rows_go_and_a_second_run_takes_others(do: Do, open_hour: Client) -> None:
    first = do("lost_row", size=5, seed=3)
    second = do("lost_row", size=5, seed=3)
    assert set(first.touched) & set(second.touched) == set()
    assert _served(open_hour)[0] == WINDOWS - 10


@pytest.mark.parametrize("state", ["open_hour", "sealed_hour"])
def test_rows_are_doubled_altered_or_moved_where_the_hour_is_served(
    do: Do, state: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(state)
    do("doubled_row", size=3)
    assert _served(client) == (WINDOWS, 2 * WINDOWS + 6)
    before = client.execute("SELECT sum(total_revenue) FROM ad_events_aggregated")[0][0]
    do("altered_figure", size=2, seed=5)
    assert client.execute("SELECT sum(total_revenue) FROM ad_events_aggregated")[0][0] > before
    assert _served(client) == (WINDOWS, 2 * WINDOWS + 6)
    do("wrong_window", size=2, seed=9)
    assert _served(client)[1] == 2 * WINDOWS + 6
    assert client.execute("SELECT count() FROM ad_events_aggregated WHERE toMinute(window_start) >= 30") == [
        (2,)
    ]


def test_a_batch_is_lost_or_doubled_under_an_id_below_the_running_drivers(do: Do, open_hour: Client) -> None:
    (copy,) = do("doubled_batch").touched
    assert int(copy.removeprefix("batch=")) < THIRD
    assert _served(open_hour) == (WINDOWS, 4 * WINDOWS)
    do("lost_batch")
    assert _served(open_hour) == SERVED
    assert count_rows(open_hour, "ad_events_delta", f"batch = {STALE}") == WINDOWS


def test_whole_batches_of_a_sealed_hour_are_not_served_and_that_is_said(do: Do, sealed_hour: Client) -> None:
    with pytest.raises(TooFewRowsError, match="after its certificate, holds 0"):
        do("lost_batch")
    with pytest.raises((TooFewRowsError, NoFreeBatchError)):
        do("doubled_batch")
    assert _served(sealed_hour) == SERVED


def test_a_stale_driver_writes_what_nobody_sees(do: Do, open_hour: Client) -> None:
    before = read_commit_state(open_hour, "ad_events").rows
    (written,) = do("stale_driver").touched
    assert count_rows(open_hour, "ad_events_delta", written.replace("=", " = ")) == WINDOWS
    assert count_rows(open_hour, "ledger", written.replace("=", " = ")) == 1
    assert _served(open_hour) == SERVED
    assert read_commit_state(open_hour, "ad_events").rows == before


def test_a_ledger_row_goes_or_is_repeated(do: Do, open_hour: Client) -> None:
    do("ledger_overlap")
    state = read_commit_state(open_hour, "ad_events")
    assert len(state.rows) == 4
    assert state.highest_batch == THIRD
    do("ledger_gap")
    kept = {row.batch for row in read_commit_state(open_hour, "ad_events").rows}
    assert {FIRST, THIRD} <= kept
    with pytest.raises(TooFewRowsError, match="rows between others"):
        do("ledger_gap", size=2)
    assert _served(open_hour) == SERVED


def test_more_than_is_served_is_refused_and_nothing_goes(do: Do, open_hour: Client) -> None:
    with pytest.raises(TooFewRowsError, match="holds 30 served rows, fewer than the 31"):
        do("lost_row", size=WINDOWS + 1)
    with pytest.raises(TooFewRowsError, match="holds 0 served rows"):
        do("lost_row", hour=HOUR + timedelta(hours=1))
    assert _served(open_hour) == SERVED


def test_a_sealed_cell_that_only_a_copy_arrived_in_is_not_served_and_never_chosen(
    do: Do, sealed_hour: Client
) -> None:
    """The second copy arrives in a cell of its own: no event counts there, and the row stays for a later seal."""
    cells = [
        (HOUR, 0, 1, 1, 7_000),
        (HOUR, 7, 1, 1, 7_000),
        (HOUR + timedelta(minutes=5), 300, 0, 1, -(2**63)),
    ]
    rows = [
        (HOUR, arrived, delay, THIRD, 12, once, came, longest, 7_000)
        for arrived, delay, once, came, longest in cells
    ]
    sealed_hour.execute("INSERT INTO ad_arrival_sealed VALUES", rows)
    for kind in ("lost_row", "doubled_row", "altered_figure"):
        with pytest.raises(
            TooFewRowsError, match=r"ad_arrival_sealed, .* holds 2 served rows, fewer than the 3"
        ):
            do(kind, size=3, cube="ad_arrival")
    assert count_rows(sealed_hour, "ad_arrival_sealed", "seal = 12") == 3
    injection = do("lost_row", size=2, cube="ad_arrival")
    assert injection.figures == {"event_count": 2}
    assert count_rows(sealed_hour, "ad_arrival_sealed", "event_count > 0") == 0
    assert count_rows(sealed_hour, "ad_arrival_sealed", "came_event_count = 1") == 1


def test_nothing_is_damaged_unless_the_setting_allows_it(warehouse: Settings, open_hour: Client) -> None:
    forbidden = warehouse.model_copy(update={"allow_inject_drift": False})
    with pytest.raises(DriftNotAllowedError, match="PLATFORM_ALLOW_INJECT_DRIFT"):
        inject_drift(forbidden, "lost_row", "ad_events", HOUR, 1, 1)
    assert _served(open_hour) == SERVED


def test_an_unknown_kind_is_refused_by_name(do: Do, open_hour: Client) -> None:
    with pytest.raises(UnknownDriftError, match="'lost_hope': choose one of altered_figure"):
        do("lost_hope")
    assert _served(open_hour) == SERVED


def test_only_whole_hours_are_hours() -> None:
    assert parse_hour("2026-01-01T05:00:00Z") == HOUR
    with pytest.raises(ValueError, match="no hour of UTC"):
        parse_hour("2026-01-01T05:30:00Z")
