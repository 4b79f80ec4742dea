"""The statements of repairs and drift on the current dialect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chdb import session as chdb_session

from include.contracts import load_contract
from include.warehouse.migrate import schema_statements
from include.warehouse.sql import read_sql

CUBE = load_contract("ad_events").cubes[0]
G = 1 << 40
AT = "toDateTime('2026-01-01 00:05:00', 'UTC')"
VALUES: dict[str, Any] = {
    "from": "2026-01-01 00:00:00",
    "to": "2026-01-01 01:00:00",
    "begin": 1_767_225_600,
    "end": 1_767_229_200,
    "stream": "ad_events",
    "generation": 1,
    "base_frontier": 0,
    "frontier": G + 9,
    "batch": G + 1,
    "copy": G,
    "batches": (G, G + 1),
    "partition": 0,
    "offset": 10,
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("chdb")
    session = chdb_session.Session(str(folder))
    session.query("CREATE DATABASE w")
    session.query("USE w")
    for statement in schema_statements([CUBE]):
        session.query(statement)
    session.query(f"INSERT INTO takeovers VALUES ('ad_events', 1, [1], [{2 * G - 1}], now())")
    session.query(
        f"INSERT INTO ad_events_delta VALUES ({AT}, 'click', 'US', 'banner', {G + 1}, 3, 30), "
        f"({AT}, 'click', 'KR', 'banner', {G + 1}, 2, 20), ({AT}, 'click', 'KR', 'banner', {G + 2}, 5, 50)"
    )
    session.query(
        f"INSERT INTO ledger_repairs VALUES ('ad_events', 7, {G + 1}, 0, 'gap', 10, 20, [{AT}], 'ledger gap', now())"
    )
    yield session
    session.close()


def rows(warehouse: Any, template: str, **identifiers: Any) -> list[str]:
    statement = read_sql(template, cube=CUBE, **identifiers)
    filled = statement % {name: repr(value) for name, value in VALUES.items()}
    return str(warehouse.query(filled, "TSV")).splitlines()


def test_events_are_counted_by_batch(warehouse: Any) -> None:
    found = rows(warehouse, "reconcile/served_by_batch.sql.j2", count="event_count")
    assert found == [f"{G + 1}\t5", f"{G + 2}\t5"]


def test_repairs_are_read_with_their_hours(warehouse: Any) -> None:
    assert rows(warehouse, "reconcile/ledger_repairs.sql") == ["7\tledger gap\t['2026-01-01 00:05:00']"]


def test_nothing_committed_after_an_offset_is_1970(warehouse: Any) -> None:
    assert rows(warehouse, "reconcile/committed_after.sql") == ["1970-01-01 00:00:00"]


def test_a_batch_is_copied_and_served_rows_are_whole(warehouse: Any) -> None:
    columns = ["window_start", *CUBE.dimensions, "event_count", "revenue"]
    rows(warehouse, "inject/copy_batch.sql.j2", columns=columns)
    VALUES["frontier"] = 0
    found = rows(warehouse, "inject/served_deltas.sql.j2", columns=["country", "batch", "event_count"])
    assert [line.split("\t")[1:] for line in found] == [
        ["KR", str(G), "2"],
        ["KR", str(G + 1), "2"],
        ["US", str(G), "3"],
        ["US", str(G + 1), "3"],
    ]
