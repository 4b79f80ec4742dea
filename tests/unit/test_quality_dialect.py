"""The quality queries on ClickHouse's current dialect (chdb); the integration tests run them on the server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from include.settings import PROJECT_ROOT

# chdb allows one session in a process, so this one has a process of its own.
PROGRAM = """
import json, sys
from chdb.session import Session
from include.contracts import load_contract, load_contracts
from include.quality.data import quality_sql
from include.quality.served import counted_cubes
from include.warehouse.migrate import schema_statements
from include.warehouse.views import view_sql

session = Session()
session.query("CREATE DATABASE quality")
session.query("USE quality")
for statement in schema_statements(cube for contract in load_contracts() for cube in contract.cubes):
    session.query(statement)
session.query(view_sql("ad_events_aggregated", [load_contract("ad_events")]))
hour, batch = "'2026-01-01 05:00:00'", 1 << 40
session.query(f"INSERT INTO takeovers VALUES ('ad_events', 1, [1], [{(2 << 40) - 1}], {hour})")
for partition in (0, 1):
    for number, (start, end) in enumerate([(0, 1000), (1000, 2000), (2003, 2100)], start=1):
        session.query(
            f"INSERT INTO ledger VALUES ('ad_events', {batch + number}, {partition}, {start}, {start}, {end}, "
            f"{end - start - 5}, 4, 0, 1, [{hour}], [1], [1], [1], 0, 0, 1, [], [], [], {hour})"
        )
    session.query(
        f"INSERT INTO balances VALUES ('ad_events', {hour}, 7, {partition}, '', 2000, 1990, 0, 8, '', 2, 2, 0, 0)"
    )
session.query(
    f"INSERT INTO certificates VALUES ('ad_events', {hour}, {batch + 2}, 7, 'PROVED', 1, 1, 1, 1, 0, 1, '', '', {hour})"
)
session.query(
    f"INSERT INTO ad_events_delta (window_start, event_type, country, ad_format, batch, event_count, revenue) VALUES "
    f"({hour}, 'impression', 'US', 'banner', {batch + 3}, 10, 0), ({hour}, 'click', 'US', 'banner', {batch + 3}, 2, 90000)"
)
for stream in ("logs", "user_events"):
    session.query(f"INSERT INTO takeovers VALUES ('{stream}', 1, [1], [{(2 << 40) - 1}], {hour})")
session.query(
    f"INSERT INTO log_services_delta VALUES ({hour}, 'a', {batch}, 3, 2, 1500000, 500000, 1000000, 1500, 1250000, 1, 2, 2)"
    f", ({hour}, 'quiet', {batch}, 1, 0, 0, {2**63 - 1}, {-(2**63)}, 0, 0, 0, 1, 0)"
)
session.query(f"INSERT INTO user_minutes_delta VALUES ({hour}, 'u', 'view', {batch}, 3, 1500000, 100000, 1000000)")
late = "'2026-01-01 05:58:00'"
arrived = 1767247080  # 05:58
session.query(
    f"INSERT INTO user_actions_delta VALUES ({hour}, 'u', 'view', {(arrived - 900) * 10**6}, 0, 7, {batch}, 1, 500000), "
    f"({hour}, 'u', 'click', {(arrived - 899) * 10**6}, 0, 8, {batch}, 1, 250000)"
)
# Two late events: one whose bin holds delays on both sides of 300 s, and one beyond.
session.query(f"INSERT INTO user_late_delta VALUES ({hour}, {late}, 'u', {batch}, 2, {(arrived - 900) * 10**6 + 9})")
session.query(
    f"INSERT INTO user_arrival_delta VALUES ({hour}, '2026-01-01 05:55:00', 299520, {batch}, 2, 301000000), "
    f"({hour}, '2026-01-01 05:55:00', 896000, {batch}, 1, 900000001)"
)
session.query(
    f"INSERT INTO log_access_delta VALUES ({hour}, '10.0.0.1', 'u', 'a', {batch}, 3, 2, 1500000), "
    f"({hour}, '10.0.0.1', '', 'b', {batch}, 1, 0, 0), ({hour}, '', 'v', 'a', {batch}, 1, 0, 0)"
)
session.query(
    f"INSERT INTO ledger VALUES ('user_events', {batch}, 0, 0, 0, 3, 3, 0, 2, 0, [{hour}], [3], [0], [2], 0, 0, 1, [], [], [], "
    f"{hour}), ('logs', {batch}, 0, 0, 0, 5, 4, 0, 0, 0, [{hour}], [4], [0], [3], 0, 0, 1, [], [0], [{hour}], {hour})"
)
end = "'2026-01-01 06:00:00'"
queries = [
    ("ad_events", "ledger_balance.sql.j2"),
    ("ad_events", "ad_events_served.sql"),
    ("logs", "logs_served.sql.j2"),
    ("user_events", "user_events_served.sql.j2"),
    ("ad_events", "sample_ranges.sql.j2"),
    ("user_events", "cubes.sql.j2"),
    ("logs", "cubes.sql.j2"),
    ("user_events", "arrival_served.sql.j2"),
    ("logs", "log_access_served.sql.j2"),
    ("user_events", "user_actions_served.sql.j2"),
]
found = []
for stream, name in queries:
    contract = load_contract(stream)
    values = {"stream": f"'{stream}'", "from": hour, "to": end, "hour": hour, "from_ms": 1, "to_ms": 2, "frontier": batch + 2}
    values |= {"generations": [1], "limits": [(2 << 40) - 1], "base_frontier": 0, "base_seal": 0, "certified_events": 0}
    values |= {"lateness_us": contract.lateness_seconds * 10**6}
    statement = quality_sql(f"quality/{name}", contract, counted_cubes(contract)) % values
    found.append(json.loads(str(session.query(statement, "JSON")))["data"])
print("ROWS" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def rows() -> list[list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT_ROOT,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("ROWS")]
    assert found, done.stderr[-3000:]
    return json.loads(found[0].removeprefix("ROWS"))  # type: ignore[no-any-return]


def test_ledger_and_balance(rows: list[list[dict[str, Any]]]) -> None:
    ledger = [row for row in rows[0] if row["record"] == "ledger"]
    seen = sorted((row["partition"], int(row["start_offset"]), int(row["offset_gap"])) for row in ledger)
    assert [(int(p), s, g) for p, s, g in seen] == [
        (p, s, g) for p in (0, 1) for s, g in ((0, 0), (1000, 0), (2003, 3))
    ]
    balance = [
        (int(r["partition"]), int(r["offsets"]), int(r["accounted"]))
        for r in rows[0]
        if r["record"] == "balance"
    ]
    assert sorted(balance) == [(0, 2000, 2000), (1, 2000, 2000)]


def test_served_hour(rows: list[list[dict[str, Any]]]) -> None:
    click, impression = rows[1]
    assert (click["revenue_per_event"], click["click_through_rate"]) == (0.045, 0.2)
    assert (impression["impression_revenue"], int(impression["window_seconds"])) == (0, 60)


def test_served_minutes_of_services(rows: list[list[dict[str, Any]]]) -> None:
    service, quiet = rows[2]
    assert (int(service["request_count"]), int(service["total_requests"]), int(service["answered"])) == (
        3,
        3,
        3,
    )
    assert (service["avg_response_time"], service["performance_percent"]) == (0.75, 100)
    assert (quiet["max_response_time"], quiet["stddev_response_time"]) == (None, None)


def test_served_windows_of_actions_and_users(rows: list[list[dict[str, Any]]]) -> None:
    found = {(row["view"], row["subject"]): row for row in rows[3]}
    assert set(found) == {("action_metrics", "view"), ("user_totals", "u")}
    action, user = found["action_metrics", "view"], found["user_totals", "u"]
    assert (action["min_value"], action["max_value"], int(action["unique_users"])) == (0.1, 1, 1)
    assert (user["value_per_event"], user["action"], int(user["window_excess"])) == (0.5, None, 0)


def test_offsets_that_the_ledger_lists_for_the_hour_up_to_the_frontier(
    rows: list[list[dict[str, Any]]],
) -> None:
    found = [(int(row["partition"]), int(row["low"]), int(row["high"])) for row in rows[4]]
    assert found == [(partition, 1, 2) for partition in (0, 1) for _ in range(2)]


def test_the_events_of_each_cube_beside_those_of_the_ledger(rows: list[list[dict[str, Any]]]) -> None:
    found = {
        row["cube"]: [row["events"], row["events_least"], row["events_most"]] for row in rows[5] + rows[6]
    }
    assert {cube: [int(n) for n in figures] for cube, figures in found.items()} == {
        "user_actions": [2, 3, 3],
        "user_minutes": [3, 3, 3],
        "user_late": [2, 2, 3],
        "user_arrival": [3, 3, 3],
        "log_services": [4, 5, 5],
        "log_access": [5, 5, 5],
        "log_arrival": [0, 5, 5],
    }


def test_served_delays(rows: list[list[dict[str, Any]]]) -> None:
    (row,) = rows[7]
    assert (int(row["record_count"]), row["p50"], row["p99"]) == (3, 299.52, 896)
    assert (row["longest"], int(row["recommended_lateness"]), int(row["window_excess"])) == (
        900.000001,
        930,
        0,
    )


def test_served_addresses_and_users_of_logs(rows: list[list[dict[str, Any]]]) -> None:
    found = {row["view"]: row for row in rows[8]}
    assert {view: int(row["row_count"]) for view, row in found.items()} == {
        "ip_patterns": 1,
        "service_popularity": 2,
        "log_user_activity": 2,
    }
    wrong = ("odd_windows", "without_key", "repeated", "without_status", "too_many_users", "odd_services")
    assert {int(row[name]) for row in found.values() for name in wrong} == {0}
    averages = found["log_user_activity"]
    assert (averages["least_average"], averages["largest_average"]) == (0.75, 0.75)


def test_served_actions_and_late_events(rows: list[list[dict[str, Any]]]) -> None:
    actions = next(row for row in rows[9] if row["view"] == "user_activity")
    late = next(row for row in rows[9] if row["view"] == "late_events")
    wrong = ("odd_windows", "without_key", "repeated", "without_status", "odd_sequences", "odd_actions")
    assert {int(row[name]) for row in (actions, late) for name in wrong} == {0}
    assert (actions["least_value"], actions["largest_value"], int(actions["least_events"])) == (
        0.375,
        0.375,
        2,
    )
    assert (int(late["delay_at_least"]), int(late["delay_at_most"])) == (899, 960)
