"""For each suite of Great Expectations a frame that passes it, and for each of its expectations one that fails it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
START = pd.Timestamp(HOUR.replace(tzinfo=None))
LATER = START + timedelta(hours=1)
MEMBER, WITHIN, THERE, ABOVE = (
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
    "expect_column_values_to_not_be_null",
    "expect_column_pair_values_a_to_be_greater_than_b",
)
COLUMNS, ROWS, UNIQUE, VIEWS = (
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
    "expect_compound_columns_to_be_unique",
    "expect_column_distinct_values_to_contain_set",
)
# The stream that each suite is tried on.
STREAM_OF = {
    "ad_events_served": "ad_events",
    "ledger_balance": "ad_events",
    "logs_served": "logs",
    "user_events_served": "user_events",
    "cubes": "user_events",
    "arrival_served": "ad_events",
    "log_access_served": "logs",
    "user_actions_served": "user_events",
}
Case = tuple[str, str, str, pd.DataFrame]  # expectation, column, severity, the frame that fails it


def served(**changes: Any) -> pd.DataFrame:
    start = pd.Timestamp(HOUR.replace(tzinfo=None))
    base = {
        "window_start": start,
        "window_end": start + timedelta(minutes=1),
        "event_type": "impression",
        "country": "US",
        "ad_format": "banner",
        "event_count": 70,
        "avg_revenue": 0.0,
        "total_revenue": 0.0,
        "status": "sealed",
        "window_seconds": 60,
        "revenue_per_event": 0.0,
        "impression_revenue": 0.0,
        "click_through_rate": 3 / 70,
    }
    click = base | {
        "event_type": "click",
        "event_count": 3,
        "total_revenue": 0.12,
        "avg_revenue": 0.04,
        "revenue_per_event": 0.04,
    }
    return pd.DataFrame([base, click | changes]).astype({"event_count": "Int64", "window_seconds": "Int64"})


def ledger(row: int = 1, **changes: Any) -> pd.DataFrame:
    first = {
        "record": "ledger",
        "partition": 0,
        "start_offset": 0,
        "end_offset": 10,
        "lost_to": 0,
        "offsets": 10,
        "accounted": 10,
        "rejected_share": 0.0,
        "offset_gap": 0,
        "non_records": 0,
        "ledger_non_records": None,
    }
    second = first | {"start_offset": 10, "end_offset": 20, "lost_to": 10}
    nothing = {"start_offset": None, "end_offset": None, "lost_to": None, "offset_gap": None}
    balance = first | nothing | {"record": "balance", "ledger_non_records": 0, "offsets": 20, "accounted": 20}
    rows = [first, second, balance]
    rows[row] = rows[row] | changes
    frame = pd.DataFrame(rows, dtype=object)
    whole = [name for name in frame.columns if name not in ("record", "rejected_share")]
    return frame.astype(dict.fromkeys(whole, "Int64") | {"rejected_share": "float64"})


def minutes(**changes: Any) -> pd.DataFrame:
    """Two services of one minute; the changes are to the second."""
    first = {
        "window_start": START,
        "window_end": START + timedelta(minutes=1),
        "service": "checkout",
        "request_count": 10,
        "avg_response_time": 0.5,
        "max_response_time": 1.5,
        "min_response_time": 0.1,
        "stddev_response_time": 0.2,
        "total_requests": 10,
        "error_count": 1,
        "error_rate": 10.0,
        "availability_percent": 90.0,
        "performance_percent": 80.0,
        "fast_requests": 8,
        "successful_requests": 9,
        "status": "sealed",
        "window_seconds": 60,
        "answered": 10,
    }
    untimed = {"avg_response_time": None, "max_response_time": None, "min_response_time": None}
    quiet = first | untimed | {"service": "quiet", "stddev_response_time": None, "performance_percent": None}
    return _typed(pd.DataFrame([quiet, first | changes]))


def windows(**changes: Any) -> pd.DataFrame:
    """A window of an action and, with the changes, one of a user."""
    action = {
        "view": "action_metrics",
        "subject": "view",
        "window_start": START,
        "window_end": START + timedelta(minutes=2),
        "window_excess": 0,
        "action": "view",
        "event_count": 7,
        "unique_users": 3,
        "avg_value": 5.0,
        "max_value": 9.0,
        "min_value": 1.0,
        "value_per_event": 5.0,
        "status": "sealed",
    }
    user = action | {"view": "user_totals", "subject": "user_001"}
    return _typed(pd.DataFrame([action, user | changes]))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    whole = [
        n
        for n in frame.columns
        if n.endswith(("_count", "_requests", "_users", "_seconds", "_excess", "answered"))
    ]
    parts = [n for n in frame.columns if n.endswith(("_time", "_rate", "_percent", "_value", "_event"))]
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(parts, "float64"))


def _frame(first: dict[str, Any], second: dict[str, Any], floats: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame([first, second], dtype=object)
    texts = ("cube", "view", "status", "window_start", "window_end")
    kinds = {name: "float64" if name in floats else "Int64" for name in frame.columns if name not in texts}
    times = {name: "datetime64[ns]" for name in frame.columns if name.startswith("window_") and name in texts}
    return frame.astype(kinds | times)


def cubes(**changes: Any) -> pd.DataFrame:
    """A cube of all events, and one of late events with the changes."""
    every = {"cube": "user_minutes", "events": 100, "events_least": 100, "events_most": 100}
    late = {"cube": "user_late", "events": 7, "events_least": 6, "events_most": 8}
    return _frame(every, late | changes, ())


def delays(**changes: Any) -> pd.DataFrame:
    """Two windows of arrival, the changes in the second; in the first all came before their event time."""
    second = {
        "window_start": START + timedelta(minutes=5),
        "window_end": START + timedelta(minutes=10),
        "record_count": 9,
        "p50": 0.2,
        "p95": 1.5,
        "p99": 29.92,
        "longest": 30.079,
        "longest_or_0": 30.079,
        "recommended_lateness": 60,
        "status": "sealed",
        "window_excess": 0,
    }
    early = dict.fromkeys(("p50", "p95", "p99", "longest_or_0", "recommended_lateness"), 0)
    first = (
        second | early | {"window_start": START, "window_end": START + timedelta(minutes=5), "longest": -0.5}
    )
    return _frame(first, second | changes, ("p50", "p95", "p99", "longest", "longest_or_0"))


def accesses(**changes: Any) -> pd.DataFrame:
    """A window of addresses and, with the changes, one of users, and one of services."""
    none = dict.fromkeys(
        ("odd_windows", "without_key", "repeated", "without_status", "too_many_users", "odd_services"), 0
    )
    users = none | {"view": "log_user_activity", "window_start": START, "row_count": 3, "least_requests": 1}
    users |= {"least_average": 0.1, "largest_average": 2.5}
    no_average = {"least_average": None, "largest_average": None}
    addresses, services = ({"view": view} | no_average for view in ("ip_patterns", "service_popularity"))
    first = _frame(users | addresses, users | changes, ("least_average", "largest_average"))
    return pd.concat([first, first.iloc[:1].assign(**services)], ignore_index=True)


def actions(**changes: Any) -> pd.DataFrame:
    """A window of late events and, with the changes, one of actions."""
    none = ("odd_windows", "without_key", "repeated", "without_status", "odd_sequences", "odd_actions")
    both = dict.fromkeys(none, 0) | {"window_start": START, "row_count": 3, "least_events": 1}
    no_value, no_delay = (
        {"least_value": None, "largest_value": None},
        {"delay_at_least": None, "delay_at_most": None},
    )
    late = both | no_value | {"view": "late_events", "delay_at_least": 260, "delay_at_most": 320}
    acted = both | no_delay | {"view": "user_activity", "least_value": 0.0, "largest_value": 1e6}
    return _frame(late, acted | changes, ("least_value", "largest_value"))


def wrong(make: Callable[..., pd.DataFrame], *columns: str) -> list[Case]:
    """Return a case for each column of a number of wrong rows."""
    return [(WITHIN, name, "critical", make(**{name: 1})) for name in columns]


SAME = {"event_type": "impression", "avg_revenue": 0.0, "total_revenue": 0.0, "revenue_per_event": 0.0}
KEY = "window_start, event_type, country, ad_format"
PAIR = "expect_column_pair_values_to_be_equal"
BAD: dict[str, list[Case]] = {
    "ad_events_served": [
        (COLUMNS, "", "critical", served().drop(columns="status")),
        (ROWS, "", "warning", served().iloc[:0]),
        (THERE, "window_start", "critical", served(window_start=pd.NaT)),
        (THERE, "event_count", "critical", served(event_count=None)),
        (THERE, "total_revenue", "critical", served(total_revenue=None)),
        (WITHIN, "window_start", "critical", served(window_start=LATER)),
        (WITHIN, "window_seconds", "critical", served(window_seconds=61)),
        (MEMBER, "event_type", "critical", served(event_type="view")),
        (MEMBER, "country", "critical", served(country="XX")),
        (MEMBER, "ad_format", "critical", served(ad_format="popup")),
        (WITHIN, "event_count", "critical", served(event_count=0)),
        (WITHIN, "avg_revenue", "critical", served(avg_revenue=1000.01)),
        (WITHIN, "revenue_per_event", "critical", served(revenue_per_event=-0.01)),
        (WITHIN, "impression_revenue", "critical", served(impression_revenue=0.01)),
        (UNIQUE, KEY, "critical", served(**SAME)),
        (MEMBER, "status", "critical", served(status="open")),
        ("expect_column_max_to_be_between", "click_through_rate", "warning", served(click_through_rate=0.9)),
    ],
    "ledger_balance": [
        (ABOVE, "end_offset, start_offset", "critical", ledger(end_offset=9)),
        (PAIR, "lost_to, start_offset", "critical", ledger(lost_to=12)),
        (PAIR, "accounted, offsets", "critical", ledger(accounted=9)),
        (PAIR, "accounted, offsets", "critical", ledger(row=2, accounted=21)),
        (WITHIN, "offset_gap", "critical", ledger(offset_gap=3)),
        (WITHIN, "offset_gap", "critical", ledger(offset_gap=-3)),
        (PAIR, "ledger_non_records, non_records", "critical", ledger(row=2, ledger_non_records=1)),
        (VIEWS, "record", "warning", ledger().iloc[:2]),
        (WITHIN, "rejected_share", "warning", ledger(rejected_share=0.051)),
    ],
    "logs_served": [
        (COLUMNS, "", "critical", minutes().drop(columns="error_rate")),
        (ROWS, "", "warning", minutes().iloc[:0]),
        (THERE, "window_start", "critical", minutes(window_start=pd.NaT)),
        (THERE, "service", "critical", minutes(service=None)),
        (THERE, "request_count", "critical", minutes(request_count=None)),
        (WITHIN, "window_start", "critical", minutes(window_start=LATER)),
        (WITHIN, "window_seconds", "critical", minutes(window_seconds=61)),
        (WITHIN, "request_count", "critical", minutes(request_count=0)),
        (PAIR, "request_count, total_requests", "critical", minutes(total_requests=9)),
        (WITHIN, "min_response_time", "critical", minutes(min_response_time=-0.1)),
        (WITHIN, "max_response_time", "critical", minutes(max_response_time=3600.1)),
        (ABOVE, "max_response_time, avg_response_time", "critical", minutes(max_response_time=0.4)),
        (ABOVE, "avg_response_time, min_response_time", "critical", minutes(min_response_time=0.6)),
        (WITHIN, "stddev_response_time", "critical", minutes(stddev_response_time=-1.0)),
        (WITHIN, "error_rate", "critical", minutes(error_rate=101.0)),
        (WITHIN, "availability_percent", "critical", minutes(availability_percent=101.0)),
        (WITHIN, "performance_percent", "critical", minutes(performance_percent=-1.0)),
        (ABOVE, "request_count, answered", "critical", minutes(answered=11)),
        (ABOVE, "request_count, fast_requests", "critical", minutes(fast_requests=11)),
        (UNIQUE, "window_start, service", "critical", minutes(service="quiet")),
        (MEMBER, "status", "critical", minutes(status="open")),
        ("expect_column_mean_to_be_between", "error_rate", "warning", minutes(error_rate=90.0)),
    ],
    "user_events_served": [
        (COLUMNS, "", "critical", windows().drop(columns="max_value")),
        (ROWS, "", "warning", windows().iloc[:0]),
        (THERE, "window_start", "critical", windows(window_start=pd.NaT)),
        (THERE, "subject", "critical", windows(subject=None)),
        (THERE, "event_count", "critical", windows(event_count=None)),
        (THERE, "avg_value", "critical", windows(avg_value=None)),
        (WITHIN, "window_start", "critical", windows(window_start=LATER)),
        (WITHIN, "window_excess", "critical", windows(window_excess=-60)),
        (MEMBER, "action", "critical", windows(action="steal")),
        (VIEWS, "view", "warning", windows().iloc[:1]),
        (WITHIN, "event_count", "critical", windows(event_count=0)),
        (WITHIN, "avg_value", "critical", windows(avg_value=1_000_000.1)),
        (WITHIN, "value_per_event", "critical", windows(value_per_event=-0.1)),
        (WITHIN, "max_value", "critical", windows(max_value=1_000_000.1)),
        (WITHIN, "min_value", "critical", windows(min_value=-0.1)),
        (ABOVE, "max_value, avg_value", "critical", windows(max_value=4.0)),
        (ABOVE, "avg_value, min_value", "critical", windows(min_value=6.0)),
        (ABOVE, "event_count, unique_users", "critical", windows(unique_users=8)),
        (UNIQUE, "view, window_start, subject", "critical", windows(view="action_metrics", subject="view")),
        (MEMBER, "status", "critical", windows(status="open")),
        ("expect_column_max_to_be_between", "event_count", "warning", windows(event_count=1_000_001)),
    ],
    "cubes": [
        (THERE, "cube", "critical", cubes(cube=None)),
        (THERE, "events", "critical", cubes(events=None)),
        (ABOVE, "events, events_least", "critical", cubes(events=5)),
        (ABOVE, "events_most, events", "critical", cubes(events=9)),
    ],
    "arrival_served": [
        (ROWS, "", "warning", delays().iloc[:0]),
        (THERE, "window_start", "critical", delays(window_start=pd.NaT)),
        (THERE, "record_count", "critical", delays(record_count=None)),
        (THERE, "p99", "critical", delays(p99=None)),
        (WITHIN, "window_start", "critical", delays(window_start=LATER)),
        *wrong(delays, "window_excess"),
        (WITHIN, "record_count", "critical", delays(record_count=0)),
        (WITHIN, "p50", "critical", delays(p50=-0.001)),
        (ABOVE, "p95, p50", "critical", delays(p50=1.6)),
        (ABOVE, "p99, p95", "critical", delays(p95=30.0)),
        (ABOVE, "longest_or_0, p99", "critical", delays(longest_or_0=29.9)),
        (WITHIN, "longest", "critical", delays(longest=-60.1)),
        (WITHIN, "longest", "critical", delays(longest=96 * 3600.1)),
        (ABOVE, "recommended_lateness, p99", "critical", delays(recommended_lateness=0)),
        (WITHIN, "recommended_lateness", "critical", delays(recommended_lateness=96 * 3600 + 30)),
        (
            UNIQUE,
            "window_start, window_end",
            "critical",
            delays(window_start=START, window_end=START + timedelta(minutes=5)),
        ),
        (MEMBER, "status", "critical", delays(status="open")),
    ],
    "log_access_served": [
        (ROWS, "", "warning", accesses().iloc[:0]),
        (VIEWS, "view", "warning", accesses().iloc[:2]),
        (THERE, "window_start", "critical", accesses(window_start=pd.NaT)),
        (WITHIN, "window_start", "critical", accesses(window_start=LATER)),
        *wrong(accesses, "odd_windows", "without_key", "repeated", "without_status", "too_many_users"),
        *wrong(accesses, "odd_services"),
        (WITHIN, "least_requests", "critical", accesses(least_requests=0)),
        (WITHIN, "least_average", "critical", accesses(least_average=-0.1)),
        (WITHIN, "largest_average", "critical", accesses(largest_average=3600.1)),
    ],
    "user_actions_served": [
        (ROWS, "", "warning", actions().iloc[:0]),
        (VIEWS, "view", "warning", actions().iloc[:1]),
        (THERE, "window_start", "critical", actions(window_start=pd.NaT)),
        (WITHIN, "window_start", "critical", actions(window_start=LATER)),
        *wrong(actions, "odd_windows", "without_key", "repeated", "without_status"),
        *wrong(actions, "odd_sequences", "odd_actions"),
        (WITHIN, "least_events", "critical", actions(least_events=0)),
        (WITHIN, "least_value", "critical", actions(least_value=-0.1)),
        (WITHIN, "largest_value", "critical", actions(largest_value=1e6 + 1)),
        (WITHIN, "delay_at_most", "critical", actions(delay_at_most=299)),
        (WITHIN, "delay_at_least", "critical", actions(delay_at_least=96 * 3600 + 1)),
    ],
}
GOOD = {
    "ad_events_served": served(),
    "ledger_balance": ledger(),
    "logs_served": minutes(),
    "user_events_served": windows(),
    "cubes": cubes(),
    "arrival_served": delays(),
    "log_access_served": accesses(),
    "user_actions_served": actions(),
}
