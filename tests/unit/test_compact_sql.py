"""The statements of compaction and retention on the current dialect; the oldest one is tested on the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chdb import session as chdb_session

from include.compact import checks
from include.compact.plan import hour_parameters
from include.contracts import load_contract
from include.reconcile.types import HOUR, Certificate
from include.warehouse.migrate import schema_statements
from include.warehouse.sql import SQL_DIR, read_sql

CUBE = load_contract("ad_events").cubes[0]
FIRST = datetime(2026, 1, 1, 5, tzinfo=UTC)
G = 1 << 40
VALUES: dict[str, Any] = {
    **hour_parameters([(FIRST, Certificate(G + 2, 12, "")), (FIRST + HOUR, Certificate(G + 1, 7, ""))]),
    "stream": "ad_events",
    "generation": 2,
    "generations": [1, 2],
    "limits": [G + 3, 3 * G - 1],
    "void_before": "2026-02-01 00:00:00",
    "cutoff": "2026-02-01 00:00:00",
    "before": "2026-01-01 06:00:00",
    "before_ms": 1767247200000,
    "partitions": [0, 1],
    "floors": [20, 0],
    "carried": [0, 0],
    "day": "2026-02-01",
    "incidents": ["5 key"],
    "at": 10,
    "watcher": "watch_stream",
    "streams": ["ad_events"],
    "kept": [5],
    "runs": ["r1"],
    "table": "heartbeats",
    "version": 2,
}


def filled(statement: str, **changes: object) -> str:
    """Fill in parameters as the driver does."""
    return statement % {name: repr(value) for name, value in {**VALUES, **changes}.items()}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("chdb")
    session = chdb_session.Session(str(folder))
    session.query("CREATE DATABASE compact")
    session.query("USE compact")
    for statement in schema_statements([CUBE]):
        session.query(statement)
    for hour in ("05", "06", "07"):
        at = f"'2026-01-01 {hour}:00:00', 'click', 'US', 'banner'"
        for batch in (G + 1, G + 2, G + 3, G + 9, 2 * G + 1):
            session.query(f"INSERT INTO ad_events_delta VALUES ({at}, {batch}, 1, 1)")
        for frontier, seal in ((G + 1, 6), (G + 1, 7), (G + 2, 11), (G + 2, 12), (G + 2, 13)):
            session.query(f"INSERT INTO ad_events_sealed VALUES ({at}, {frontier}, {seal}, 1, 1, 1, 1)")
    for number in range(3):
        session.query(
            "INSERT INTO ledger (stream, batch, partition, start_offset, end_offset, accepted, hours, committed_at) "
            f"VALUES ('ad_events', {G + 1 + number}, 0, {number * 10}, {number * 10 + 10}, 10, "
            f"['2026-01-01 0{5 + number}:00:00'], '2026-01-01 08:00:00')"
        )

    def run(statement: str) -> list[tuple[str, ...]]:
        text = str(session.query(statement, "TSV"))
        return [tuple(line.split("\t")) for line in text.splitlines()]

    yield run
    session.close()


def test_superseded_seals_are_those_below_the_certificate(ask: Any) -> None:
    found = ask(filled(read_sql("compact/superseded_seals.sql.j2", cube=CUBE)))
    assert sorted(found) == [("2026-01-01 05:00:00", "3"), ("2026-01-01 06:00:00", "1")]


def test_included_deltas_are_those_up_to_the_certificate_and_old_void_ones(ask: Any) -> None:
    statement = read_sql("compact/included_deltas.sql.j2", cube=CUBE)
    assert sorted(ask(filled(statement))) == [("2026-01-01 05:00:00", "3"), ("2026-01-01 06:00:00", "2")]
    young = filled(statement, void_before="2025-01-01 00:00:00")
    assert sorted(ask(young)) == [("2026-01-01 05:00:00", "2"), ("2026-01-01 06:00:00", "1")]


def test_what_the_ledger_pins_and_what_may_go(ask: Any) -> None:
    assert sorted(ask(filled(read_sql("compact/ledger_hours.sql.j2")))) == [
        (f"2026-01-01 0{5 + n}:00:00", str(G + 1 + n)) for n in range(3)
    ]
    assert ask(filled(read_sql("compact/pinned_hour.sql.j2"))) == [("2026-01-01 07:00:00",)]
    assert ask(filled(read_sql("compact/ledger_floor.sql.j2"))) == [("0", "10")]
    assert ask(filled(read_sql("compact/expiring_ledger.sql.j2"))) == [
        ("0", "20", "20", "0", "20", "0", "0", "0")
    ]


def test_old_deltas_that_count_or_may_yet_hold_their_hour(ask: Any) -> None:
    found = ask(filled(read_sql("compact/delta_hours.sql.j2", cube=CUBE), limits=[G + 3, 0], generation=3))
    assert {batch for _, batch in found} == {str(G + 3)}


PLAIN = [
    "carried.sql", "closed_incidents.sql", "expired_before.sql", "kept_orders.sql", "last_stop_requests.sql",
    "old_dead_letters.sql", "old_partitions.sql", "old_traffic.sql",
]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_every_other_statement_is_of_the_current_dialect(ask: Any, name: str) -> None:
    day = 20260101 if name == "old_partitions.sql" else VALUES["day"]
    ask(filled(read_sql(f"compact/{name}"), day=day))


CONDITIONS = {
    "hour.sql": "certificates",
    "window.sql": "ad_events_sealed",
    "ledger.sql": "ledger",
    "dead_letters.sql": "dead_letters",
    "checked.sql": "quality_checks",
    "incidents.sql": "incidents",
    "orders.sql": "orders",
    "stop_requests.sql": "stop_requests",
    "approvals.sql": "replay_approvals",
    "sends.sql": "traffic_sends",
    "runs.sql": "traffic_truth",
    "repairs.sql": "ledger_repairs",
    "folds.sql": "folded_pieces",
}


def test_every_condition_is_tested() -> None:
    assert {path.name for path in (SQL_DIR / "compact" / "conditions").iterdir()} == set(CONDITIONS)


@pytest.mark.parametrize(("condition", "table"), CONDITIONS.items())
def test_a_condition_counts_and_drops_alike(ask: Any, condition: str, table: str) -> None:
    names = {"table": table, "condition": f"compact/conditions/{condition}"}
    ask(filled(read_sql("compact/count_rows.sql.j2", **names)))
    ask(filled(read_sql("compact/drop_rows.sql.j2", **names)) + " SETTINGS mutations_sync = 1")
    assert ask(filled(read_sql("compact/count_rows.sql.j2", **names))) == [("0",)]


# Tables of the migrations that keep their rows, each for a reason.
KEPT = {
    "takeovers": "the highest row rules, and there is one for each start of a driver",
    "contract_versions": "records are recounted under the version that they were folded under; one row for each",
    "files": "a file is published once, however long ago that was; one row for each",
    "expired_hours": "what retention itself leaves behind",
    "expired_ledger": "what retention itself leaves behind",
}


def test_every_table_expires_or_is_kept_for_a_reason() -> None:
    migrations = "".join(path.read_text(encoding="utf-8") for path in (SQL_DIR / "migrations").glob("*.sql"))
    made = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", migrations))
    folder = Path(checks.__file__).parent
    named = set(re.findall(r'"(\w+)"', "".join(path.read_text() for path in folder.glob("*.py"))))
    assert made - named - KEPT.keys() == set(), "these tables grow for ever"
