"""Each view on hand-written cells: its columns, its windows' edges, nulls, and its status through a seal."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from statistics import stdev
from typing import Any

import pytest

from include.contracts import load_contracts
from include.warehouse.queries import query_sql
from include.warehouse.views import view_names
from tests.views import HOUR, Desk, at, minutes, text

COLUMNS = {
    "ad_events_aggregated": "event_type country ad_format event_count avg_revenue total_revenue",
    "user_activity": "user_id total_events unique_actions total_value actions_sequence",
    "action_metrics": "action action_count unique_users avg_value max_value min_value",
    "user_totals": "user_id event_count total_value avg_value",
    "busy_users": "user_id event_count total_value",
    "late_events": "user_id late_event_count earliest_late_event",
    "arrival_delay": "stream count p50 p95 p99 max recommended_lateness",
    "response_times": "service request_count avg_response_time max_response_time min_response_time "
    "stddev_response_time",
    "error_rates": "service total_requests error_count error_rate",
    "ip_patterns": "ip_address request_count unique_users services_used services",
    "sla": "service availability_percent performance_percent fast_requests successful_requests",
    "log_user_activity": "user_id activity_count services_used avg_response_time",
    "service_popularity": "service request_count unique_users",
    "system_health": "total_requests active_services active_users avg_response_time error_rate health_score",
}


def test_the_columns_are_those_that_users_were_promised(desk: Desk) -> None:
    assert sorted(COLUMNS) == view_names()
    for view, columns in COLUMNS.items():
        found = [row["name"] for row in desk.ask(f"DESCRIBE TABLE {view}")]
        assert found == ["window_start", "window_end", *columns.split(), "status"], view
        assert desk.served(view) == []


def action(desk: Desk, pane: str, action: str, offset: int, **more: Any) -> None:
    places = {"kafka_partition": 0, "event_us": int(at(pane).timestamp() * 1e6), **more}
    desk.came(
        "user_actions", pane, user_id="u1", action=action, record_offset=offset, event_count=1, **places
    )


def test_user_activity_orders_actions_by_event_time_and_then_by_place(desk: Desk) -> None:
    moment = int(at("10:00:30").timestamp() * 1e6)
    action(desk, "10:00:30", "click", 7, event_us=moment + 5_000_000, value=2_500_000)
    action(desk, "10:00:30", "login", 9, event_us=moment)
    action(desk, "10:00:30", "view", 11, event_us=moment + 5_000_000, kafka_partition=1)
    action(desk, "10:00:30", "view", 5, event_us=moment + 5_000_000, batch=1)
    action(desk, "10:01:00", "logout", 2, value=1)
    rows = desk.served("user_activity")
    assert [row["window_start"] for row in rows] == minutes("10:00:00", 3, 30)
    assert [row["window_end"] for row in rows] == minutes("10:01:00", 3, 30)
    assert [row["actions_sequence"] for row in rows] == [
        ["login", "view", "click", "view"],
        ["login", "view", "click", "view", "logout"],
        ["logout"],
    ]
    assert [(row["total_events"], row["unique_actions"]) for row in rows] == [(4, 3), (5, 4), (1, 1)]
    assert [row["total_value"] for row in rows] == [Decimal("2.5"), Decimal("2.500001"), Decimal("0.000001")]


def minute(desk: Desk, pane: str, user: str, action: str, *values: int, batch: int = 0) -> None:
    desk.came(
        "user_minutes",
        pane,
        batch,
        user_id=user,
        action=action,
        event_count=len(values),
        value=sum(values),
        value_min=min(values),
        value_max=max(values),
    )


def test_action_metrics_count_each_user_of_a_window_once(desk: Desk) -> None:
    minute(desk, "10:00:00", "u1", "click", 1_000_000, 2_000_000)
    minute(desk, "10:01:00", "u1", "click", 500_000)
    minute(desk, "10:01:00", "u2", "click", 7)
    minute(desk, "10:01:00", "u2", "view", 0)
    rows = desk.served(
        "action_metrics", "window_start", "window_end", "action", "action_count", "unique_users"
    )
    assert [row["window_start"] for row in rows if row["action"] == "click"] == minutes("09:59:00", 3)
    assert [tuple(row.values())[2:] for row in rows] == [
        ("click", 2, 1),
        ("click", 4, 2),
        ("view", 1, 1),
        ("click", 2, 2),
        ("view", 1, 1),
    ]
    assert {row["window_end"] for row in rows} == set(minutes("10:01:00", 3))
    figures = [
        row
        for row in desk.served("action_metrics")
        if (row["action"], row["window_start"]) == ("click", text(HOUR))
    ]
    assert [(row["avg_value"], row["max_value"], row["min_value"]) for row in figures] == [
        (Decimal("0.8750017500"), Decimal(2), Decimal("0.000007"))
    ]


def test_user_totals_stand_in_each_of_the_five_windows_that_hold_the_pane(desk: Desk) -> None:
    minute(desk, "10:05:00", "u1", "click", 1_000_000)
    minute(desk, "10:06:00", "u1", "view", 2_000_001)
    rows = desk.served("user_totals")
    assert [row["window_start"] for row in rows] == minutes("10:01:00", 6)
    assert [row["window_end"] for row in rows] == minutes("10:06:00", 6)
    assert [row["event_count"] for row in rows] == [1, 2, 2, 2, 2, 1]
    assert [row["total_value"] for row in rows] == [
        Decimal(1),
        *[Decimal("3.000001")] * 4,
        Decimal("2.000001"),
    ]
    assert rows[1]["avg_value"] == Decimal("1.5000005")


def test_busy_users_have_more_than_fifty_events_in_windows_every_two_minutes(desk: Desk) -> None:
    minute(desk, "10:00:00", "u1", "click", *[1] * 25)
    minute(desk, "10:04:00", "u1", "view", *[1] * 25)
    assert desk.served("busy_users") == []
    minute(desk, "10:04:00", "u1", "login", 1_000_000)
    assert desk.served("busy_users") == [
        {
            "window_start": text(HOUR),
            "window_end": text(at("10:05:00")),
            "user_id": "u1",
            "event_count": 51,
            "total_value": Decimal("1.000050"),
            "status": "provisional",
        }
    ]
    minute(desk, "10:05:00", "u1", "login", *[1] * 24)
    assert [row["event_count"] for row in desk.served("busy_users")] == [51], "10:05 is not in [10:00, 10:05)"
    minute(desk, "10:06:00", "u1", "login", *[1] * 27)
    rows = desk.served("busy_users", "window_start", "event_count")
    assert [tuple(row.values()) for row in rows] == [
        (text(at("10:00:00")), 51),
        (text(at("10:02:00")), 77),
        (text(at("10:04:00")), 77),
    ]


def test_late_events_are_counted_by_the_minute_of_their_arrival(desk: Desk) -> None:
    earliest = int(at("09:44:59").timestamp() * 1e6) + 907_999
    for pane, count, first in (("09:00:00", 3, earliest), ("10:00:00", 2, earliest + 10**9)):
        desk.came(
            "user_late", pane, user_id="u1", arrived=at("10:20:00"), event_count=count, earliest_us=first
        )
    desk.came("user_late", "10:00:00", user_id="u1", arrived=at("10:21:00"), event_count=1, earliest_us=10**6)
    rows = desk.served("late_events")
    assert [(r["window_start"], r["window_end"], r["late_event_count"]) for r in rows] == [
        (text(at("10:20:00")), text(at("10:21:00")), 5),
        (text(at("10:21:00")), text(at("10:22:00")), 1),
    ]
    assert [r["earliest_late_event"] for r in rows] == [
        "2026-01-01 09:44:59.907",
        "1970-01-01 00:00:01.000",
    ]
    desk.sealed(
        "user_late", "09:00:00", user_id="u1", arrived=at("10:20:00"), event_count=3, earliest_us=earliest
    )
    desk.certified("user_events", "09:00:00")
    assert [r["status"] for r in desk.served("late_events")] == ["provisional"] * 2
    desk.sealed(
        "user_late", "10:00:00", user_id="u1", arrived=at("10:20:00"), event_count=2, earliest_us=earliest
    )
    desk.certified("user_events", "10:00:00")
    assert [(r["late_event_count"], r["status"]) for r in desk.served("late_events")] == [(5, "sealed")]


def test_arrival_delay_gives_nearest_rank_percentiles_of_each_stream(desk: Desk) -> None:
    for cube in ("ad_arrival", "user_arrival", "log_arrival"):
        for pane, delay, count in (("09:00:00", 3, 50), ("10:00:00", 250, 45), ("10:00:00", 30_080, 4)):
            desk.came(
                cube,
                pane,
                arrived=at("10:05:00"),
                delay_ms=delay,
                event_count=count,
                delay_max_us=delay * 1000 + 1,
            )
        desk.came(cube, "10:00:00", arrived=at("10:05:00"), delay_ms=0, event_count=1, delay_max_us=-7)
    desk.came("log_arrival", "10:00:00", arrived=at("10:10:00"), delay_ms=0, event_count=2, delay_max_us=-500)
    rows = desk.served("arrival_delay")
    assert [row["stream"] for row in rows] == ["ad_events", "logs", "user_events", "logs"]
    assert (rows[0]["window_start"], rows[0]["window_end"]) == (text(at("10:05:00")), text(at("10:10:00")))
    figures = [[row[name] for name in ("count", "p50", "p95", "p99", "max")] for row in rows]
    assert figures[:3] == [[100, 0.003, 0.25, 30.08, 30.080001]] * 3
    assert figures[3] == [2, 0.0, 0.0, 0.0, -0.0005]
    assert [row["recommended_lateness"] for row in rows] == [60, 60, 60, 0]


def timed(desk: Desk, service: str, *seconds: float, untimed: int = 0, **more: int) -> None:
    micros = [round(value * 1e6) for value in seconds]
    values = {"response_time_min": min(micros), "response_time_max": max(micros)} if micros else {}
    desk.came(
        "log_services",
        "10:00:00",
        service=service,
        request_count=len(micros) + untimed,
        timed_count=len(micros),
        response_time=sum(micros),
        response_ms=sum(value // 1000 for value in micros),
        response_ms_squared=sum((value // 1000) ** 2 for value in micros),
        **values,
        **more,
    )


def test_response_times_are_null_where_no_request_held_one(desk: Desk) -> None:
    timed(desk, "a", untimed=3)
    timed(desk, "b", 0.734)
    timed(desk, "c", 0.1, 0.2, 0.4, 3600, untimed=1)
    timed(desk, "d", 0.5, 0.5)
    rows = {row["service"]: row for row in desk.served("response_times")}
    assert [row["request_count"] for row in rows.values()] == [3, 1, 5, 2]
    names = ("avg_response_time", "max_response_time", "min_response_time", "stddev_response_time")
    assert [rows["a"][name] for name in names] == [None] * 4
    assert [rows["b"][name] for name in names] == [Decimal("0.734")] * 3 + [None]
    assert [rows["c"][name] for name in names[:3]] == [Decimal("900.175"), Decimal(3600), Decimal("0.1")]
    assert rows["c"]["stddev_response_time"] == pytest.approx(stdev([0.1, 0.2, 0.4, 3600]), rel=1e-12)
    assert rows["d"]["stddev_response_time"] == 0


def test_error_rates_and_sla_are_percentages(desk: Desk) -> None:
    timed(desk, "a", 0.5, 1.5, untimed=6, error_count=1, success_count=4, fast_count=1)
    timed(desk, "b", untimed=1, error_count=1)
    rates = desk.served("error_rates", "service", "total_requests", "error_count", "error_rate")
    assert [tuple(row.values()) for row in rates] == [("a", 8, 1, 12.5), ("b", 1, 1, 100.0)]
    names = ("availability_percent", "performance_percent", "fast_requests", "successful_requests")
    assert [tuple(row.values()) for row in desk.served("sla", *names)] == [
        (50.0, 50.0, 1, 4),
        (0.0, None, 0, 0),
    ]


def access(desk: Desk, pane: str, ip: str, user: str, service: str, count: int = 1, **more: int) -> None:
    desk.came("log_access", pane, ip_address=ip, user_id=user, service=service, request_count=count, **more)


def test_an_absent_user_or_address_is_nobody(desk: Desk) -> None:
    access(desk, "10:00:00", "10.0.0.1", "u1", "search")
    access(desk, "10:04:00", "10.0.0.1", "u1", "checkout", 2, timed_count=1, response_time=500_000)
    access(desk, "10:04:00", "10.0.0.1", "", "api", 4)
    access(desk, "10:04:00", "", "u2", "api", 8)
    access(desk, "10:05:00", "10.0.0.1", "", "api", 16)
    rows = desk.served("ip_patterns")
    assert [(row["window_start"], row["window_end"]) for row in rows] == [
        (text(HOUR), text(at("10:05:00"))),
        (text(at("10:05:00")), text(at("10:10:00"))),
    ]
    names = ("request_count", "unique_users", "services_used", "services")
    assert [[row[name] for name in names] for row in rows] == [
        [7, 1, 3, ["api", "checkout", "search"]],
        [16, 0, 1, ["api"]],
    ]
    users = desk.served("log_user_activity")
    names = ("user_id", "activity_count", "services_used", "avg_response_time")
    assert [[row[name] for name in names] for row in users] == [
        ["u1", 3, 2, Decimal("0.5")],
        ["u2", 8, 1, None],
    ]
    popular = desk.served("service_popularity", "window_start", "service", "request_count", "unique_users")
    assert [tuple(row.values()) for row in popular] == [
        (text(HOUR), "search", 1, 1),
        (text(at("10:04:00")), "api", 12, 1),
        (text(at("10:04:00")), "checkout", 2, 1),
        (text(at("10:05:00")), "api", 16, 0),
    ]


@pytest.mark.parametrize(
    ("errors", "score"), [(0, 100), (9, 100), (10, 80), (49, 80), (50, 60), (99, 60), (100, 40), (1000, 40)]
)
def test_the_health_score_falls_at_one_five_and_ten_percent(desk: Desk, errors: int, score: int) -> None:
    timed(desk, "a", 0.5, untimed=899, error_count=errors // 2)
    timed(desk, "b", 1.5, untimed=99, error_count=errors - errors // 2)
    access(desk, "10:00:00", "10.0.0.1", "u1", "a", 999)
    access(desk, "10:00:00", "10.0.0.2", "u1", "b", 1)
    access(desk, "10:00:00", "10.0.0.2", "", "b", 1)
    assert desk.served("system_health") == [
        {
            "window_start": text(HOUR),
            "window_end": text(at("10:01:00")),
            "total_requests": 1000,
            "active_services": 2,
            "active_users": 1,
            "avg_response_time": Decimal(1),
            "error_rate": errors / 10,
            "health_score": score,
            "status": "provisional",
        }
    ]


def test_before_at_and_after_a_seal(desk: Desk) -> None:
    def seen() -> list[tuple[int, str]]:
        rows = desk.served("error_rates", "total_requests", "status")
        return [(row["total_requests"], row["status"]) for row in rows]

    came = {"service": "a", "request_count": 5}
    desk.came("log_services", "10:30:00", 0, **came)
    desk.came("log_services", "10:30:00", 1, **came | {"request_count": 2})
    assert seen() == [(7, "provisional")]
    desk.sealed("log_services", "10:30:00", 1, 9, **came | {"request_count": 6, "came_request_count": 7})
    assert seen() == [(7, "provisional")], "sealed rows must not show before their certificate"
    desk.certified("logs", "10:00:00", frontier=1)
    assert seen() == [(6, "sealed")]
    desk.came("log_services", "10:30:00", 2, **came | {"request_count": 1})
    assert seen() == [(7, "provisional")]
    desk.takes_over(2, {1: 1})
    assert seen() == [(6, "sealed")], "the straggler's batch is void after the takeover"
    desk.came("log_services", "10:30:00", 0, generation=2, **came | {"request_count": 4})
    desk.came("log_services", "10:30:00", 0, generation=3, **came | {"request_count": 1000})
    assert seen() == [(10, "provisional")]


def test_a_cell_of_copies_alone_is_not_served_once_it_is_sealed(desk: Desk) -> None:
    action(desk, "10:00:00", "click", 1)
    action(desk, "10:00:00", "click", 2)
    assert [row["actions_sequence"] for row in desk.served("user_activity")] == [["click", "click"]] * 2
    moment = int(at("10:00:00").timestamp() * 1e6)
    same = {"user_id": "u1", "action": "click", "event_us": moment, "came_event_count": 1}
    desk.sealed("user_actions", "10:00:00", record_offset=1, event_count=1, **same)
    desk.sealed("user_actions", "10:00:00", record_offset=2, event_count=0, **same)
    desk.certified("user_events", "09:00:00", "10:00:00")
    rows = desk.served("user_activity", "total_events", "actions_sequence", "status")
    assert [tuple(row.values()) for row in rows] == [(1, ["click"], "sealed")] * 2


def test_a_window_over_two_hours_is_sealed_when_both_are(desk: Desk) -> None:
    def statuses() -> dict[str, str]:
        return {row["window_start"][11:16]: row["status"] for row in desk.served("user_totals")}

    values = {"user_id": "u1", "action": "view", "event_count": 1, "value_min": 0, "value_max": 0}
    for pane in ("09:30:00", "10:01:00", "10:58:00"):
        desk.sealed("user_minutes", pane, **values)
    desk.certified("user_events", "10:00:00")
    desk.certified("logs", "09:00:00", "11:00:00")
    assert statuses() == {
        **{f"09:{number}": "provisional" for number in (57, 58, 59)},
        **{f"10:{number}": "sealed" for number in ("00", "01", 54, 55)},
        **{f"10:{number}": "provisional" for number in (56, 57, 58)},
    }
    desk.certified("user_events", "09:00:00", "11:00:00")
    assert len(statuses()) == 15
    assert set(statuses().values()) == {"sealed"}
    desk.came("user_minutes", "11:01:00", 1, **values)
    assert {start for start, status in statuses().items() if status == "provisional"} == {
        *("10:57", "10:58", "10:59"),
        *("11:00", "11:01"),
    }
    desk.came("user_minutes", "10:01:00", 1, **values)
    joined = [status for start, status in statuses().items() if "09:57" <= start <= "10:01"]
    assert joined == ["provisional"] * 5, "a later delta joins sealed cells of its pane and user"


def test_a_query_gives_the_rows_of_its_view_within_its_bounds(desk: Desk) -> None:
    rng = random.Random(1)
    desk.takes_over(2, {1: 3})
    for contract in load_contracts():
        for hour in rng.sample(["09:00:00", "10:00:00", "11:00:00"], rng.randrange(3)):
            desk.certified(contract.stream, hour, frontier=rng.randrange(3))
        for cube in contract.cubes:
            for _ in range(16):
                pane = HOUR + timedelta(seconds=cube.pane_seconds * rng.randrange(-3, 4))
                figures: dict[str, Any] = {m.name: rng.randrange(1, 60) for m in cube.measures}
                if "response_ms_squared" in figures:
                    figures["response_ms_squared"] = 60**2 * figures["timed_count"]
                figures |= {name: f"{name}{rng.randrange(2)}" for name in cube.dimensions}
                figures |= {
                    name: rng.randrange(4) for name, kind in cube.dimension_types.items() if "Int" in kind
                }
                if cube.arrival_seconds:
                    figures["arrived"] = pane + timedelta(seconds=cube.arrival_seconds * rng.randrange(4))
                if "event_us" in figures:
                    figures["event_us"] += int(pane.timestamp()) * 1_000_000
                where = {"cube": cube.name, "pane": pane, **figures}
                if rng.random() < 0.5:
                    desk.came(batch=rng.randrange(5), generation=rng.randrange(1, 3), **where)
                else:
                    desk.sealed(frontier=rng.randrange(3), **where)
    for view in COLUMNS:
        rows = desk.served(view)
        for _ in range(3):
            first = HOUR + timedelta(seconds=rng.randrange(-7200, 7200))
            end = first + timedelta(seconds=rng.randrange(1, 7200))
            expected = [row for row in rows if text(first) <= row["window_start"] < text(end)]
            found = desk.asked(view, first, end)
            assert found == expected, f"{view} in [{first}, {end}):\n  {found}\n  {expected}"


def test_a_question_about_an_hour_reads_the_cells_of_that_hour_alone(on_chdb: Desk) -> None:
    on_chdb.clear()
    on_chdb.takes_over()
    for cube in (cube for contract in load_contracts() for cube in contract.cubes):
        for day in range(4):
            pane = HOUR - timedelta(days=day)
            names = (*cube.dimensions, *(measure.name for measure in cube.measures))
            figures: dict[str, Any] = dict.fromkeys(names, 1)
            if cube.arrival_seconds:
                figures["arrived"] = pane
            on_chdb.came(cube.name, pane, **figures)
            on_chdb.sealed(cube.name, pane, **figures)
    bounds = {"from": f"'{text(HOUR)}'", "to": f"'{text(HOUR + timedelta(hours=1))}'"}
    around = "window_start >= toDateTime(%(from)s, 'UTC') AND window_start < toDateTime(%(to)s, 'UTC')"
    for view in view_names():
        read = on_chdb.cells_read(f"SELECT * FROM {view}")
        for query in (query_sql(view) % bounds, f"SELECT * FROM {view} WHERE {around}" % bounds):
            found = on_chdb.cells_read(query)
            assert found.keys() == read.keys(), view
            assert all(found[table] <= read[table] / 4 for table in read), f"{view}: {found} of {read}"
