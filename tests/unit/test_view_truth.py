"""The truth of each view on events made by hand, with the figures worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from include.contracts.times import delay_bin
from include.traffic.tally import delay_bins
from include.traffic.view_truth import VIEWS, SeenEvent, counted_once, view_rows
from include.traffic.view_truth.arrivals import bin_of, enough_lateness
from include.traffic.view_truth.compare import Within, differences, same
from include.traffic.view_truth.requests import sample_deviation
from include.traffic.view_truth.windows import starts_of

NOON = 1_765_886_400  # 2025-12-16 12:00 UTC


def at(second: float, delay: float = 0.0, once: bool = True, stream: str = "s", **fields: Any) -> SeenEvent:
    event_us = round((NOON + second) * 1e6)
    kafka_ms = (event_us + round(delay * 1e6)) // 1000
    return SeenEvent(stream, event_us, kafka_ms, once, delay > 300, fields)


def did(second: float, user: str, action: str, value: float, **more: Any) -> SeenEvent:
    return at(second, user_id=user, action=action, value=round(value * 1e6), **more)


def asked(second: float, service: str, status: int, seconds: float | None, **more: Any) -> SeenEvent:
    texts = {"user_id": "u1", "ip_address": "10.0.0.1", "level": ""} | more
    time = None if seconds is None else round(seconds * 1e6)
    return at(second, service=service, status_code=status, response_time=time, **texts)


def rows_of(view: str, events: list[SeenEvent]) -> list[dict[str, Any]]:
    """Return the rows by window and subject, windows as seconds since noon."""
    rows = view_rows(view, events)
    for row in rows:
        assert list(row)[:2] == ["window_start", "window_end"]
        bounds = [int(row.pop(name).timestamp()) - NOON for name in ("window_start", "window_end")]
        row["window"] = tuple(bounds)
    return sorted(rows, key=lambda row: (row["window"], str(row)))


def of_window(view: str, events: list[SeenEvent], start: int) -> list[dict[str, Any]]:
    return [row for row in rows_of(view, events) if row.pop("window")[0] == start]


def test_an_event_on_an_edge_belongs_to_the_window_that_it_starts() -> None:
    assert sorted(starts_of(NOON, 60, 30)) == [NOON - 30, NOON]
    assert sorted(starts_of(NOON + 59, 60, 30)) == [NOON, NOON + 30]
    assert sorted(starts_of(NOON, 60, 60)) == [NOON]
    assert sorted(starts_of(NOON + 60, 300, 120)) == [NOON - 120, NOON]


def test_user_activity() -> None:
    events = [
        did(40, "a", "view", 1.5),
        did(35, "a", "login", 0),
        did(41, "a", "view", 2.25),
        did(41, "b", "click", 1),
    ]
    first = {
        "user_id": "a",
        "total_events": 3,
        "unique_actions": 2,
        "total_value": Decimal("3.75"),
        "actions_sequence": ["login", "view", "view"],
    }
    assert of_window("user_activity", events, 0)[0] == first
    assert of_window("user_activity", events, 30)[0] == first
    assert of_window("user_activity", events, -30) == []
    assert len(rows_of("user_activity", events)) == 4


def test_a_copy_counts_until_it_is_counted_once() -> None:
    events = [did(1, "a", "view", 2), did(1, "a", "view", 5, once=False)]
    assert of_window("user_activity", events, 0)[0]["total_value"] == Decimal(7)
    assert of_window("user_activity", counted_once(events), 0)[0]["total_value"] == Decimal(2)


def test_action_metrics() -> None:
    events = [did(0, "a", "view", 1), did(70, "b", "view", 2), did(80, "b", "view", 4)]
    assert of_window("action_metrics", events, 0) == [
        {
            "action": "view",
            "action_count": 3,
            "unique_users": 2,
            "avg_value": Fraction(7, 3),
            "max_value": Decimal(4),
            "min_value": Decimal(1),
        }
    ]
    assert [row["window"] for row in rows_of("action_metrics", events)] == [(-60, 60), (0, 120), (60, 180)]


def test_user_totals_and_busy_users() -> None:
    events = [did(60 + n, "a", "click", 0.5) for n in range(51)] + [did(1, "b", "click", 1)]
    totals = of_window("user_totals", events, 0)
    assert {
        "user_id": "a",
        "event_count": 51,
        "total_value": Decimal("25.5"),
        "avg_value": Fraction(1, 2),
    } in totals
    assert len([row for row in rows_of("user_totals", events) if row["user_id"] == "a"]) == 5
    busy = [{"user_id": "a", "event_count": 51, "total_value": Decimal("25.5")}]
    assert of_window("busy_users", events, 0) == of_window("busy_users", events, -120) == busy
    assert rows_of("busy_users", events[1:]) == []


def test_late_events_lie_in_the_minute_of_their_arrival() -> None:
    events = [
        at(10.0015, 900, user_id="a"),
        at(5, 901, user_id="a"),
        at(20, 300, user_id="a"),
        at(30, 900, user_id="b"),
    ]
    assert rows_of("late_events", events) == [
        {"user_id": user, "late_event_count": count, "earliest_late_event": text, "window": (900, 960)}
        for user, count, text in (
            ("a", 2, "2025-12-16 12:00:05.000"),
            ("b", 1, "2025-12-16 12:00:30.000"),
        )
    ]


def test_arrival_delay_is_in_bins_by_nearest_rank() -> None:
    events = [at(10, n / 1000) for n in range(1, 100)] + [at(10, 95.678)]
    row = {"stream": "s", "count": 100, "p50": Fraction(50, 1000), "p95": Fraction(95, 1000)}
    row |= {"p99": Fraction(99, 1000), "max": Fraction(95_678, 1000), "recommended_lateness": Within(30, 30)}
    assert rows_of("arrival_delay", events) == [row | {"window": (0, 300)}]
    late = rows_of("arrival_delay", [at(0, 95.678)])[0]
    assert (late["p50"], late["recommended_lateness"]) == (Fraction(9536, 100), Within(120, 120))


@pytest.mark.parametrize(
    ("p99_us", "bounds"),
    [
        (-60_000_000, (0, 0)),
        (0, (0, 30)),
        (1, (30, 30)),
        (30_000_000, (30, 60)),
        (30_000_001, (60, 60)),
        (30_079_000, (60, 60)),
        (300_500_000, (330, 330)),
        (2_990_000_000, (3000, 3030)),
    ],
)
def test_the_lateness_that_is_enough_follows_the_exact_percentile(
    p99_us: int, bounds: tuple[int, int]
) -> None:
    assert enough_lateness(p99_us) == Within(*bounds)


@pytest.mark.parametrize(
    "delay_ms", [0, 999, 1000, 1009, 1010, 1999, 2000, 2019, 2020, 65_535, 900_000, 10**9]
)
def test_three_ways_to_find_a_bin_agree(delay_ms: int) -> None:
    edges = [
        bin_of(delay_ms * 1000),
        int(delay_bins(np.array([delay_ms * 1000]))[0]),
        delay_bin(delay_ms * 1000),
    ]
    assert len(set(edges)) == 1, edges
    assert 0 <= delay_ms - edges[0] <= delay_ms / 100


def test_response_times_leave_out_requests_without_one() -> None:
    events = [
        asked(1, "auth", 200, 0.1004),
        asked(2, "auth", 200, 0.3006),
        asked(3, "auth", 200, None),
        asked(4, "cart", 200, None),
        asked(5, "push", 200, 0.5),
    ]
    rows = {row.pop("service"): row for row in of_window("response_times", events, 0)}
    assert rows["auth"] | {"stddev_response_time": 0} == {
        "request_count": 3,
        "avg_response_time": Fraction(2005, 10_000),
        "max_response_time": Decimal("0.3006"),
        "min_response_time": Decimal("0.1004"),
        "stddev_response_time": 0,
    }
    # 100 and 301 ms: the root of 2 * 100.5^2 / 1.
    assert rows["auth"]["stddev_response_time"] == pytest.approx(0.1421284)
    assert set(rows["cart"].values()) == {1, None}
    assert rows["push"]["stddev_response_time"] is None
    assert rows["push"]["avg_response_time"] == Fraction(1, 2)


def test_milliseconds_are_rounded_half_to_even() -> None:
    assert sample_deviation([500, 1500]) == pytest.approx(2 / 2**0.5 / 1000)  # 0 and 2 ms
    assert sample_deviation([5000, 5000]) == 0


def test_error_rates_and_sla() -> None:
    events = [
        asked(0, "auth", 200, 1.0),
        asked(1, "auth", 399, 1.000001),
        asked(2, "auth", 400, None),
        asked(59.9, "auth", 503, 0.2),
    ]
    assert of_window("error_rates", events, 0) == [
        {"service": "auth", "total_requests": 4, "error_count": 2, "error_rate": 50}
    ]
    assert of_window("sla", events, 0) == [
        {
            "service": "auth",
            "availability_percent": 25,
            "performance_percent": Fraction(200, 3),
            "fast_requests": 2,
            "successful_requests": 1,
        }
    ]
    assert of_window("sla", events[2:3], 0)[0]["performance_percent"] is None


def test_an_absent_user_or_address_is_none() -> None:
    events = [
        asked(0, "b", 200, 0.5),
        asked(1, "a", 200, None, user_id=""),
        asked(2, "a", 200, 0.1, user_id="u2", ip_address=""),
    ]
    assert of_window("ip_patterns", events, 0) == [
        {
            "ip_address": "10.0.0.1",
            "request_count": 2,
            "unique_users": 1,
            "services_used": 2,
            "services": ["a", "b"],
        }
    ]
    assert of_window("log_user_activity", events, 0) == [
        {"user_id": "u1", "activity_count": 1, "services_used": 1, "avg_response_time": Fraction(1, 2)},
        {"user_id": "u2", "activity_count": 1, "services_used": 1, "avg_response_time": Fraction(1, 10)},
    ]
    assert of_window("service_popularity", events, 0) == [
        {"service": "a", "request_count": 2, "unique_users": 1},
        {"service": "b", "request_count": 1, "unique_users": 1},
    ]


@pytest.mark.parametrize(
    ("errors", "requests", "score"),
    [(0, 50, 100), (1, 100, 80), (4, 100, 80), (5, 100, 60), (9, 100, 60), (10, 100, 40), (1, 101, 100)],
)
def test_health_scores_change_at_1_5_and_10_percent(errors: int, requests: int, score: int) -> None:
    events = [asked(1, "a", 500 if n < errors else 200, 0.25, user_id=f"u{n % 3}") for n in range(requests)]
    assert of_window("system_health", events, 0) == [
        {
            "total_requests": requests,
            "active_services": 1,
            "active_users": 3,
            "avg_response_time": Fraction(1, 4),
            "error_rate": Fraction(100 * errors, requests),
            "health_score": score,
        }
    ]


def test_ad_events_aggregated() -> None:
    labels = {"event_type": "click", "country": "US", "ad_format": "banner"}
    events = [at(n, revenue=figure, **labels) for n, figure in enumerate((10_000, 20_001))]
    assert of_window("ad_events_aggregated", events, 0) == [
        labels
        | {"event_count": 2, "avg_revenue": Fraction(30_001, 2_000_000), "total_revenue": Decimal("0.030001")}
    ]


def test_every_view_of_nothing_is_empty() -> None:
    assert all(view_rows(view, []) == [] for view in VIEWS)
    assert len(VIEWS) == 14


def test_differences_name_what_is_missing_in_excess_and_unequal() -> None:
    start = datetime(2025, 12, 16, 12, tzinfo=UTC)
    truth = [{"window_start": start, "service": name, "n": n} for name, n in (("a", 1), ("b", 2))]
    assert differences(truth, [row | {"status": "sealed"} for row in truth]) == []
    served = [truth[0] | {"n": 9}, {"window_start": start, "service": "c", "n": 3}]
    assert differences(truth, served) == [
        f"missing: {truth[1]}",
        f"excess: {served[1]}",
        "unequal at 2025-12-16 12:00:00+00:00, a: n: expected 1, served 9",
    ]
    with pytest.raises(ValueError, match="two rows of one window"):
        differences(truth, [truth[0], truth[0]])


@pytest.mark.parametrize(
    ("expected", "served", "equal"),
    [
        (Fraction(1, 3), Decimal("0.3333333333"), True),
        (Fraction(1, 3), Decimal("0.333333"), False),
        (Decimal("0.1"), Decimal("0.100000"), True),
        (Decimal("0.1"), Decimal("0.100001"), False),
        (None, None, True),
        (None, 0, False),
        (Fraction(0), None, False),
        (["a", "b"], ["b", "a"], False),
        (Within(30, 60), 30, True),
        (Within(30, 60), 60, True),
        (Within(30, 60), 0, False),
        (Within(30, 60), 90, False),
        (Within(0, 0), None, False),
    ],
)
def test_amounts_must_be_equal_and_averages_close(expected: Any, served: Any, equal: bool) -> None:
    assert same(expected, served) == equal
