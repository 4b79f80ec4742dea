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
from include.warehouse.sql import SQL_DIR, read_sql, split_statements
from include.warehouse.views import served_cubes, view_sql

session = Session()
session.query("CREATE DATABASE quality")
session.query("USE quality")
for path in sorted((SQL_DIR / "migrations").glob("*.sql")):
    for statement in split_statements(path.read_text()):
        session.query(statement)
for cube in [cube for contract in load_contracts() for cube in contract.cubes]:
    session.query(read_sql("cubes/delta.sql.j2", cube=cube))
    session.query(read_sql("cubes/sealed.sql.j2", cube=cube))
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
end = "'2026-01-01 06:00:00'"
values = {"stream": "'ad_events'", "from": hour, "to": end, "from_ms": 1, "to_ms": 2, "frontier": batch + 2}
names = ("ledger_balance.sql.j2", "ad_events_served.sql", "logs_served.sql.j2", "user_events_served.sql.j2", "sample_ranges.sql.j2")
statements = [read_sql(f"quality/{n}", filtered=True, cubes=served_cubes(load_contracts())) % values for n in names]
print("ROWS" + json.dumps([json.loads(str(session.query(s, "JSON")))["data"] for s in statements]))
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
