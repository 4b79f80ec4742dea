"""Each detector on hand-written cells: what fires, what does not, and the edges of its rule; server and chdb alike."""

from __future__ import annotations

from typing import Any

import pytest

from include.detect.judge import MOST_FIRED
from include.detect.load import load_detectors
from include.detect.windows import text as clock
from include.warehouse.sql import read_sql
from tests.views import Desk, Row, at

SECOND = 1_000_000  # a response time of one second, in the figures of a cell


def judged(
    desk: Desk,
    name: str,
    first: str = "10:00:00",
    end: str = "11:00:00",
    template: str = "fired",
    sealed_only: bool = False,
) -> list[Row]:
    """Run a detector on the windows that begin in [first, end)."""
    detector = load_detectors().detectors[name]
    sql = detector.sealed_sql if sealed_only else detector.sql
    begin, stop = (int(at(moment).timestamp()) for moment in (first, end))
    values = {
        "from": clock(begin - detector.header.reads_back_seconds),
        "to": clock(stop),
        "judge_from": clock(begin),
        "judge_to": clock(stop),
    }
    statement = read_sql(f"detect/{template}.sql.j2", detector_sql=sql, limit=MOST_FIRED)
    return desk.ask(statement % {key: f"'{value}'" for key, value in values.items()})


def fired(desk: Desk, name: str, **more: Any) -> list[tuple[str, str]]:
    """Return clock time and subject of what fires."""
    return [(row["window_start"][11:], row["subject"]) for row in judged(desk, name, **more)]


def verdicts(desk: Desk, name: str, **more: Any) -> tuple[int, int]:
    """Return how many verdicts there are, and how many fire."""
    (row,) = judged(desk, name, template="verdicts", **more)
    return row["judged"], row["fired"]


def timed(desk: Desk, minute: str, micros: int, service: str = "shop", count: int = 1, **more: Any) -> None:
    desk.came(
        "log_services",
        minute,
        service=service,
        request_count=count,
        timed_count=count,
        response_time=micros * count,
        **more,
    )


def requests(desk: Desk, minute: str, count: int, errors: int, service: str = "shop", **more: Any) -> None:
    desk.came("log_services", minute, service=service, request_count=count, error_count=errors, **more)


def test_an_average_far_from_that_of_the_minutes_before_fires(desk: Desk) -> None:
    for minute, micros in enumerate([100_000, 110_000, 90_000, 105_000, 95_000, 500_000]):
        timed(desk, f"10:{minute:02}:00", micros)
        timed(desk, f"10:{minute:02}:00", 100_000 + minute, service="calm")
    assert ("10:05:00", "shop") in fired(desk, "response_time_anomaly")
    row = next(row for row in judged(desk, "response_time_anomaly") if row["subject"] == "shop")
    assert row["previous_minutes"] == 5
    assert row["previous_mean"] == pytest.approx(0.1)
    assert row["previous_deviation"] == pytest.approx(0.00790569415)
    assert row["z"] == pytest.approx(50.5964425)
    assert row["threshold"] == 2


def test_an_average_that_falls_far_fires_too(desk: Desk) -> None:
    for minute, micros in enumerate([100_000, 110_000, 90_000, 1_000]):
        timed(desk, f"10:{minute:02}:00", micros)
    assert fired(desk, "response_time_anomaly") == [("10:03:00", "shop")]


def test_two_deviations_exactly_do_not_fire(desk: Desk) -> None:
    for minute, micros in enumerate([1, 2, 3, 4]):  # mean 2, deviation 1
        timed(desk, f"10:{minute:02}:00", micros * SECOND)
    assert (verdicts(desk, "response_time_anomaly"), fired(desk, "response_time_anomaly")) == ((1, 0), [])
    timed(desk, "10:03:00", 4 * SECOND + 2, batch=1)
    assert fired(desk, "response_time_anomaly") == [("10:03:00", "shop")]


def test_fewer_than_three_minutes_before_give_no_verdict(desk: Desk) -> None:
    for minute, micros in enumerate([100_000, 110_000, 900_000]):
        timed(desk, f"10:{minute:02}:00", micros)
    assert verdicts(desk, "response_time_anomaly") == (0, 0)
    timed(desk, "10:03:00", 900_000_000)
    assert verdicts(desk, "response_time_anomaly")[0] == 1


def test_only_minutes_that_hold_response_times_count_and_none_older_than_ten(desk: Desk) -> None:
    for minute, micros in enumerate([100_000, 110_000, 90_000]):
        timed(desk, f"10:{minute:02}:00", micros)
    requests(desk, "10:05:00", 50, 0)
    timed(desk, "10:10:00", 900_000)
    assert fired(desk, "response_time_anomaly") == [("10:10:00", "shop")], (
        "10:00 is the tenth minute before 10:10"
    )
    desk.clear()
    desk.takes_over()
    for minute, micros in enumerate([100_000, 110_000, 90_000]):
        timed(desk, f"10:{minute:02}:00", micros)
    timed(desk, "10:11:00", 900_000)
    assert verdicts(desk, "response_time_anomaly") == (0, 0), "of 10:00 to 10:02, 10:11 looks back at two"


def test_minutes_without_deviation_give_no_verdict(desk: Desk) -> None:
    for minute in range(6):
        timed(desk, f"10:{minute:02}:00", 100_000, count=3 + minute)
    timed(desk, "10:06:00", 900_000)
    assert verdicts(desk, "response_time_anomaly") == (0, 0)


def test_minutes_before_the_range_are_looked_at_and_not_judged(desk: Desk) -> None:
    for minute, micros in enumerate([100_000, 110_000, 90_000, 900_000, 100_000]):
        timed(desk, f"10:{minute:02}:00", micros)
    assert fired(desk, "response_time_anomaly", first="10:03:00", end="10:04:00") == [("10:03:00", "shop")]
    assert fired(desk, "response_time_anomaly", first="10:04:00", end="10:05:00") == []


@pytest.mark.parametrize(
    ("before", "now", "fires"),
    [
        ((100, 1), (100, 11), False),  # 10 points exactly
        ((100, 1), (100, 12), True),
        ((1000, 10), (1000, 111), True),
        ((20, 0), (20, 20), True),
        ((20, 0), (19, 19), False),  # fewer than 20 requests
        ((1, 0), (20, 3), True),  # the minute before needs no 20
        ((100, 50), (100, 0), False),  # a fall
        (None, (100, 100), False),  # nothing to compare with
    ],
)
def test_a_jump_of_the_error_rate(
    desk: Desk, before: tuple[int, int] | None, now: tuple[int, int], fires: bool
) -> None:
    if before is not None:
        requests(desk, "10:00:00", *before)
    requests(desk, "10:01:00", *now)
    requests(desk, "10:00:00", 100, 0, service="other")
    requests(desk, "10:01:00", 100, 0, service="other")
    assert fired(desk, "error_rate_spike") == ([("10:01:00", "shop")] if fires else [])


def test_only_the_minute_right_before_is_compared_with(desk: Desk) -> None:
    requests(desk, "10:00:00", 100, 0)
    requests(desk, "10:02:00", 100, 90)
    assert verdicts(desk, "error_rate_spike") == (0, 0)
    requests(desk, "09:59:00", 100, 0)
    assert verdicts(desk, "error_rate_spike") == (1, 0), "the minute before the range counts for its first"


def asks(desk: Desk, minute: str, count: int, address: str = "10.0.0.9", **more: Any) -> None:
    desk.came("log_access", minute, ip_address=address, request_count=count, **more)


@pytest.mark.parametrize(
    ("count", "services", "fires"), [(1001, 6, True), (1000, 6, False), (5000, 5, False), (5000, 6, True)]
)
def test_an_address_that_scans(desk: Desk, count: int, services: int, fires: bool) -> None:
    for number in range(services):
        asks(
            desk,
            "10:04:00",
            count // services + (count % services if not number else 0),
            service=f"s{number}",
        )
    assert fired(desk, "suspicious_ip") == ([("10:00:00", "10.0.0.9")] if fires else [])


def test_a_scan_that_two_windows_share_fires_in_neither(desk: Desk) -> None:
    for number in range(6):
        asks(desk, "10:04:00", 100, service=f"s{number}")
        asks(desk, "10:05:00", 100, service=f"s{number}")
    assert verdicts(desk, "suspicious_ip") == (2, 0)


@pytest.mark.parametrize(
    ("count", "users", "fires"), [(101, 4, True), (100, 4, False), (101, 5, False), (101, 0, True)]
)
def test_an_address_that_floods(desk: Desk, count: int, users: int, fires: bool) -> None:
    asks(desk, "10:03:00", count - users, service="shop")
    for number in range(users):
        asks(desk, "10:03:00", 1, service="shop", user_id=f"u{number}")
    asks(desk, "10:03:00", 5000, address="", service="shop")
    assert fired(desk, "ddos") == ([("10:03:00", "10.0.0.9")] if fires else [])


def does(desk: Desk, minute: str, count: int, user: str = "u1", **more: Any) -> None:
    desk.came("user_minutes", minute, user_id=user, action="click", event_count=count, **more)


def test_a_user_of_more_than_fifty_events_fires_in_each_window_that_holds_them(desk: Desk) -> None:
    does(desk, "10:05:00", 51)
    does(desk, "10:05:00", 50, user="u2")
    assert fired(desk, "busy_user") == [("10:02:00", "u1"), ("10:04:00", "u1")]
    assert fired(desk, "busy_user", first="10:04:00", end="10:06:00") == [("10:04:00", "u1")]


def test_the_end_of_a_window_belongs_to_the_next(desk: Desk) -> None:
    does(desk, "10:04:00", 30)
    does(desk, "10:05:00", 30)
    assert fired(desk, "busy_user", first="10:00:00", end="10:02:00") == []
    assert fired(desk, "busy_user") == [("10:02:00", "u1"), ("10:04:00", "u1")]


def comes_late(
    desk: Desk, arrived: str, count: int, user: str = "u1", hour: str = "09:00:00", **more: Any
) -> None:
    desk.came(
        "user_late",
        hour,
        arrived=at(arrived),
        user_id=user,
        event_count=count,
        earliest_us=1767260000000000,
        **more,
    )


def test_more_than_five_late_events_within_a_minute_of_arrival_fire(desk: Desk) -> None:
    comes_late(desk, "10:07:00", 3)
    comes_late(desk, "10:07:00", 3, hour="08:00:00")
    comes_late(desk, "10:07:00", 5, user="u2")
    comes_late(desk, "10:08:00", 4, user="u2")
    assert fired(desk, "late_user") == [("10:07:00", "u1")]


def test_on_sealed_figures_alone_deltas_do_not_count(desk: Desk) -> None:
    requests(desk, "10:00:00", 100, 0)
    requests(desk, "10:01:00", 100, 50)
    assert fired(desk, "error_rate_spike") == [("10:01:00", "shop")]
    assert verdicts(desk, "error_rate_spike", sealed_only=True) == (0, 0)
    for minute, errors in (("10:00:00", 0), ("10:01:00", 5)):
        desk.sealed("log_services", minute, service="shop", request_count=100, error_count=errors)
    desk.certified("logs", "10:00:00")
    requests(desk, "10:01:00", 100, 100, batch=1)
    assert fired(desk, "error_rate_spike") == [("10:01:00", "shop")]
    assert verdicts(desk, "error_rate_spike", sealed_only=True) == (1, 0)
