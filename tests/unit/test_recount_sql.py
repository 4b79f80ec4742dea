"""The statements of the reconciliation on the current dialect: the digest, and both comparisons on crafted rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chdb import session as chdb_session

from include.contracts import Cube, load_contract
from include.reconcile.measure import Cell
from include.reconcile.store import bounds
from include.warehouse.migrate import schema_statements
from include.warehouse.sql import read_sql
from tests import kinds

CONTRACT = load_contract("ad_events")
CUBE = CONTRACT.cubes[0]
HOUR = datetime(2026, 1, 1, tzinfo=UTC)
G = 1 << 40
VALUES: dict[str, Any] = {
    **bounds(HOUR),
    "stream": "ad_events",
    "generation": 1,
    "frontier": G + 2,
    "seal": 8,
    "base_frontier": G + 1,
    "base_seal": 7,
    "limit": 100,
}


def filled(statement: str) -> str:
    """Fill in parameters as the driver does."""
    return statement % {name: repr(value) for name, value in VALUES.items()}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("chdb")
    session = chdb_session.Session(str(folder))
    session.query("CREATE DATABASE w")
    session.query("USE w")
    for statement in schema_statements([CUBE]):
        session.query(statement)
    session.query(f"INSERT INTO takeovers VALUES ('ad_events', 1, [1], [{2 * G - 1}], now())")
    at = "toDateTime('2026-01-01 00:05:00', 'UTC'), 'click'"
    session.query(
        f"INSERT INTO ad_events_sealed VALUES ({at}, 'US', 'banner', {G + 1}, 7, 2, 3, 20, 30), "
        f"({at}, 'KR', 'banner', {G + 1}, 7, 1, 1, 10, 10), ({at}, 'US', 'banner', {G + 2}, 8, 3, 4, 30, 40), "
        f"({at}, 'DE', 'banner', {G + 2}, 8, 1, 1, 10, 10), ({at}, 'UK', 'banner', {G + 2}, 8, 5, 5, 50, 50)"
    )
    session.query(
        f"INSERT INTO ad_events_delta VALUES ({at}, 'US', 'banner', {G + 2}, 1, 10), ({at}, 'UK', 'banner', {G + 2}, 4, 50), "
        f"({at}, 'UK', 'banner', {G + 3}, 9, 9), ({at}, 'UK', 'banner', {2 * G + 1}, 9, 9), "
        f"(toDateTime('2024-12-01 00:05:00', 'UTC'), 'click', 'UK', 'banner', {G + 2}, 9, 9)"
    )
    yield session
    session.close()


def rows(warehouse: Any, template: str) -> list[str]:
    return str(warehouse.query(filled(read_sql(template, cube=CUBE)), "TSV")).splitlines()


def test_each_class_of_difference_is_found_and_equal_cells_are_not(warehouse: Any) -> None:
    found = {
        line.split("\t")[2]: line.split("\t")[4:] for line in rows(warehouse, "reconcile/compare.sql.j2")
    }
    assert found == {
        "DE": ["1", "0", "1", "0", "10", "0"],
        "KR": ["0", "1", "0", "1", "0", "10"],
        "UK": ["1", "1", "5", "4", "50", "50"],
    }


def test_the_base_is_compared_by_its_exact_figures(warehouse: Any) -> None:
    found = {
        line.split("\t")[2]: line.split("\t")[4:] for line in rows(warehouse, "reconcile/compare_base.sql.j2")
    }
    assert found["US"] == ["1", "1", "3", "2", "30", "20"]
    assert set(found) == {"US", "KR", "DE", "UK"}


def test_the_digest_is_the_one_that_clickhouse_18_16_gave(warehouse: Any) -> None:
    found = {line.split("\t")[2]: line.split("\t")[3] for line in rows(warehouse, "reconcile/digest.sql.j2")}
    assert found["7"] == "2-36115392920430034-18410619867446974764"


def test_deltas_after_the_base_are_counted_up_to_the_frontier(warehouse: Any) -> None:
    assert rows(warehouse, "reconcile/deltas_after.sql.j2") == ["2"]


def test_a_delta_is_found_however_old_its_hour_is(warehouse: Any) -> None:
    assert sorted(rows(warehouse, "reconcile/later_deltas.sql.j2")) == [
        f"2024-12-01 00:00:00\t{G + 2}",
        f"2026-01-01 00:00:00\t{G + 3}",
    ]


def test_the_contract_version_of_a_certificate_is_read_from_its_document(warehouse: Any) -> None:
    documents = ['{"contract_version": 12, "offset_ranges": [{"contract_version": 3}]}', '{"reason": ""}', ""]
    for seal, document in enumerate(documents):
        warehouse.query(
            "INSERT INTO certificates (stream, hour, frontier, seal, document) VALUES "
            f"('ad_events', toDateTime('2026-01-01 00:00:00', 'UTC'), 9, {seal}, '{document}')"
        )
    found = warehouse.query(filled(read_sql("reconcile/certificate_versions.sql")), "CSV").bytes().decode()
    versions = {int(line.split(",")[2]): int(line.split(",")[3]) for line in found.splitlines()}
    assert versions == {0: 12, 1: 0, 2: 0}


def test_the_digest_of_every_kind_of_dimension_is_the_one_that_clickhouse_18_16_gave(warehouse: Any) -> None:
    parts = []
    for cube in kinds.CONTRACT.cubes:
        warehouse.query(read_sql("cubes/sealed.sql.j2", cube=cube))
        rows = [sealed_row(cube, cell) for cell in kinds.CELLS if cell.cube == cube.name]
        warehouse.query(f"INSERT INTO {cube.sealed_table} VALUES {', '.join(rows)}")
        statement = read_sql("reconcile/digest.sql.j2", cube=cube) % {
            name: repr(value) for name, value in bounds(kinds.HOUR).items()
        }
        parts.append(f"{cube.name}={str(warehouse.query(statement, 'TSV')).split()[-1]}")
    assert " ".join(parts) == kinds.DIGESTS


def sealed_row(cube: Cube, cell: Cell) -> str:
    dimensions = [
        f"toDateTime({item}, 'UTC')" if kind.startswith("DateTime") else literal(item)
        for item, kind in zip(cell.dimensions, cube.dimension_types.values(), strict=True)
    ]
    figures = [
        f"CAST('{figure}' AS {measure.clickhouse_type})"
        for measure, pair in zip(cube.measures, zip(cell.once, cell.came, strict=True), strict=True)
        for figure in pair
    ]
    window = f"toDateTime({cell.window}, 'UTC')"
    return f"({', '.join([window, *dimensions, '1', '5', *figures])})"


def literal(item: str | int) -> str:
    return str(item) if isinstance(item, int) else "'" + item.replace("'", "\\'") + "'"
