"""Migrations, cube tables and views on a real ClickHouse."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import NetworkError, ServerException
from pydantic import SecretStr

from include.contracts import Measure, load_contract
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM
from include.settings import Settings
from include.warehouse import migrate, sql, views
from include.warehouse.client import connect
from include.warehouse.contract_versions import (
    ContractChangedError,
    UnknownContractVersionError,
    read_version,
)
from include.warehouse.cube_tables import CubeShapeError
from include.warehouse.migrate import MigrationError, prepare_warehouse
from include.warehouse.sql import SQL_DIR
from include.warehouse.views import UnknownCubeError
from tests.helpers import ad_events

NEXT = ad_events().version + 1


@pytest.fixture
def empty(settings: Settings) -> Iterator[Settings]:
    """Settings with the name of a database that does not exist yet."""
    own = settings.model_copy(update={"clickhouse_database": f"test_{uuid.uuid4().hex[:12]}"})
    yield own
    admin = connect(own, database="")
    admin.execute(f"DROP DATABASE IF EXISTS {own.clickhouse_database}")
    admin.disconnect()


@pytest.fixture
def own_sql(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A copy of sql/ for migrations, cube tables and views to come from."""
    copy = shutil.copytree(SQL_DIR, tmp_path / "sql")
    for module in (migrate, sql, views):
        monkeypatch.setattr(module, "SQL_DIR", copy)
    sql._environment.cache_clear()
    yield copy
    sql._environment.cache_clear()


def schema(client: Client) -> list[tuple[str, ...]]:
    return client.execute(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    )


def test_the_first_run_creates_everything_and_the_second_changes_nothing_and_says_so(empty: Settings) -> None:
    first = prepare_warehouse(empty)
    client = connect(empty)
    before = schema(client)
    second = prepare_warehouse(empty)
    assert first.unchanged == []
    assert "0001_commit.sql" in first.applied
    assert {"ad_events_delta", "ad_events_sealed", "view ad_events_aggregated"} <= set(first.applied)
    assert (second.applied, second.unchanged) == ([], first.applied)
    assert schema(client) == before
    client.disconnect()


def test_an_edited_migration_is_refused_by_name_and_nothing_is_applied(
    empty: Settings, own_sql: Path
) -> None:
    prepare_warehouse(empty)
    edited = own_sql / "migrations" / "0002_life_cycle.sql"
    edited.write_text(edited.read_text(encoding="utf-8") + "-- a thought\n", encoding="utf-8")
    (own_sql / "migrations" / "0099_later.sql").write_text("CREATE TABLE later (x UInt8) ENGINE = Memory;\n")
    with pytest.raises(MigrationError, match=r"0002_life_cycle\.sql .* edited"):
        prepare_warehouse(empty)
    client = connect(empty)
    assert client.execute("EXISTS TABLE later") == [(0,)]
    client.disconnect()


def test_a_new_migration_is_applied_once(empty: Settings, own_sql: Path) -> None:
    prepare_warehouse(empty)
    new = own_sql / "migrations" / "0099_later.sql"
    new.write_text(
        "-- a purpose;\nCREATE TABLE later (x UInt8) ENGINE = Memory;\nINSERT INTO later SELECT 1;\n"
    )
    assert prepare_warehouse(empty).applied == [new.name]
    assert prepare_warehouse(empty).applied == []
    client = connect(empty)
    assert client.execute("SELECT count() FROM later") == [(1,)]
    client.disconnect()


def test_a_migration_that_fails_is_not_noted_and_is_tried_again(empty: Settings, own_sql: Path) -> None:
    new = own_sql / "migrations" / "0099_later.sql"
    new.write_text("CREATE TABLE later (x Nonsense) ENGINE = Memory;\n")
    with pytest.raises(ServerException, match="Nonsense"):
        prepare_warehouse(empty)
    new.write_text("CREATE TABLE later (x UInt8) ENGINE = Memory;\n")
    assert new.name in prepare_warehouse(empty).applied


def test_a_changed_view_is_replaced_and_a_dropped_one_comes_back(empty: Settings, own_sql: Path) -> None:
    prepare_warehouse(empty)
    view = own_sql / "queries" / "ad_events_aggregated.sql.j2"
    text = view.read_text(encoding="utf-8")
    view.write_text(text.replace("AS total_revenue,", "AS dollars,"), encoding="utf-8")
    assert prepare_warehouse(empty).applied == ["view ad_events_aggregated"]
    client = connect(empty)
    names = [row[0] for row in client.execute("DESCRIBE TABLE ad_events_aggregated")]
    assert names[-2:] == ["dollars", "status"]
    client.execute("DROP TABLE ad_events_aggregated")
    assert prepare_warehouse(empty).applied == ["view ad_events_aggregated"]
    client.disconnect()


def test_a_view_that_the_server_refuses_leaves_the_old_one_standing(empty: Settings, own_sql: Path) -> None:
    prepare_warehouse(empty)
    view = own_sql / "queries" / "sla.sql.j2"
    view.write_text(
        view.read_text(encoding="utf-8").replace("sum(fast) AS", "sum(slow) AS"), encoding="utf-8"
    )
    with pytest.raises(ServerException, match="slow"):
        prepare_warehouse(empty)
    client = connect(empty)
    assert client.execute("SELECT count() FROM sla") == [(0,)]
    client.disconnect()


def test_a_stream_alone_leaves_the_views_of_others_and_all_of_them_must_be_there(
    empty: Settings, own_sql: Path
) -> None:
    alone = prepare_warehouse(empty, [load_contract("logs")]).applied
    assert {"view sla", "view arrival_delay"} <= set(alone)
    assert "view user_totals" not in alone
    (own_sql / "views" / "lost.sql.j2").write_text("-- A cube of nobody.\n{{ cubes.get('nobody') }}\n")
    with pytest.raises(UnknownCubeError, match="'nobody'"):
        prepare_warehouse(empty)


def test_a_new_measure_widens_the_tables_of_a_cube(empty: Settings) -> None:
    contract = ad_events()
    prepare_warehouse(empty, [contract])
    cube = contract.cubes[0]
    measures = (cube.measures[0], Measure(name="clicks", kind="count", field=None), *cube.measures[1:])
    wider = cube.model_copy(update={"measures": measures})
    newer = contract.model_copy(update={"version": NEXT, "cubes": (wider,)})
    applied = prepare_warehouse(empty, [newer]).applied
    assert applied == [
        f"contract ad_events version {NEXT}",
        "ad_events_delta.clicks",
        "ad_events_sealed.clicks",
        "ad_events_sealed.came_clicks",
    ]
    assert prepare_warehouse(empty, [newer]).applied == []


def test_rows_older_than_a_new_measure_read_a_cell_without_a_value(empty: Settings) -> None:
    contract = ad_events()
    cube = contract.cubes[0]
    prepare_warehouse(empty, [contract.model_copy(update={"cubes": (cube,)})])
    client = connect(empty)
    for table in (cube.delta_table, cube.sealed_table):
        client.execute(f"INSERT INTO {table} (window_start, event_count) SELECT toDateTime(0, 'UTC'), 3")
    added = tuple(Measure(name=f"revenue_{kind}", kind=kind, field="revenue") for kind in ("min", "max"))
    wider = cube.model_copy(update={"measures": (*cube.measures, *added)})
    newer = contract.model_copy(update={"version": NEXT, "cubes": (wider,)})
    names = {"ad_events_delta": "revenue_min, revenue_max"}
    names["ad_events_sealed"] = f"{names['ad_events_delta']}, came_revenue_min, came_revenue_max"
    nothing = (NO_MINIMUM, NO_MAXIMUM)
    prepare_warehouse(empty, [newer])
    for merged in (False, True):
        found = {t: client.execute(f"SELECT {columns} FROM {t}")[0] for t, columns in names.items()}
        assert found == {"ad_events_delta": nothing, "ad_events_sealed": nothing * 2}, f"merged: {merged}"
        for table in names:
            client.execute(f"OPTIMIZE TABLE {table} FINAL")
    client.disconnect()


def test_a_measure_that_was_added_without_a_default_gets_it(empty: Settings) -> None:
    contract = load_contract("user_events")
    prepare_warehouse(empty, [contract])
    client = connect(empty)
    client.execute("INSERT INTO user_minutes_delta (window_start) SELECT toDateTime(0, 'UTC')")
    client.execute("ALTER TABLE user_minutes_delta DROP COLUMN value_max")
    client.execute("ALTER TABLE user_minutes_delta ADD COLUMN value_max Int64 AFTER value_min")
    assert client.execute("SELECT value_max FROM user_minutes_delta") == [(0,)]
    assert prepare_warehouse(empty, [contract]).applied == ["user_minutes_delta.value_max default"]
    assert prepare_warehouse(empty, [contract]).applied == []
    assert client.execute("SELECT value_max FROM user_minutes_delta") == [(NO_MAXIMUM,)]
    client.disconnect()


@pytest.mark.parametrize("dimensions", [("country", "event_type", "ad_format"), ("event_type", "country")])
def test_a_cube_with_other_dimensions_is_refused_with_both(
    empty: Settings, dimensions: tuple[str, ...]
) -> None:
    contract = ad_events()
    prepare_warehouse(empty, [contract])
    reshaped = contract.cubes[0].model_copy(update={"dimensions": dimensions})
    with pytest.raises(CubeShapeError, match="ad_events_delta") as caught:
        prepare_warehouse(empty, [contract.model_copy(update={"version": NEXT, "cubes": (reshaped,)})])
    assert "new name" in str(caught.value)


def test_a_contract_edited_under_its_version_is_refused_with_the_part(empty: Settings) -> None:
    contract = ad_events()
    prepare_warehouse(empty, [contract])
    other_topic = contract.topic.model_copy(update={"partitions": 8})
    assert prepare_warehouse(empty, [contract.model_copy(update={"topic": other_topic})]).applied == []
    with pytest.raises(
        ContractChangedError, match=rf"version {NEXT - 1} .* lateness_seconds .* version to {NEXT}"
    ):
        prepare_warehouse(empty, [contract.model_copy(update={"lateness_seconds": 61})])


def test_each_version_of_a_contract_can_be_read_again(empty: Settings) -> None:
    first = ad_events()
    second = first.model_copy(update={"version": NEXT, "lateness_seconds": 61})
    prepare_warehouse(empty, [first])
    prepare_warehouse(empty, [second])
    client = connect(empty)
    assert read_version(client, second, NEXT - 1) == first
    assert read_version(client, second, NEXT) == second
    with pytest.raises(UnknownContractVersionError, match=f"version {NEXT + 1}"):
        read_version(client, second, NEXT + 1)
    client.disconnect()


def test_the_view_has_the_columns_that_its_users_were_promised(clickhouse: Client) -> None:
    columns = [row[:2] for row in clickhouse.execute("DESCRIBE TABLE ad_events_aggregated")]
    assert [name for name, _ in columns] == [
        "window_start",
        "window_end",
        "event_type",
        "country",
        "ad_format",
        "event_count",
        "avg_revenue",
        "total_revenue",
        "status",
    ]
    types = dict(columns)
    assert types["total_revenue"] == "Decimal(38, 6)", types
    assert types["avg_revenue"].startswith("Decimal"), types


def test_a_wrong_password_and_a_server_that_is_away_are_different_errors(settings: Settings) -> None:
    wrong = settings.model_copy(update={"clickhouse_password": SecretStr("wrong")})
    with pytest.raises(ServerException):
        connect(wrong).execute("SELECT 1")
    with pytest.raises(NetworkError):
        connect(settings.model_copy(update={"clickhouse_port": 1})).execute("SELECT 1")
