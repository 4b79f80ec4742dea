"""The database that a test gets is a copy; it must be what the product prepares."""

from __future__ import annotations

from clickhouse_driver import Client

from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.databases import FILLED


def schema(client: Client, settings: Settings) -> dict[str, str]:
    found = client.execute(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    )
    return {name: statement.replace(settings.clickhouse_database, "") for name, statement in found}


def rows_by_table(client: Client) -> dict[str, list[tuple[object, ...]]]:
    tables = client.execute(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'View'"
    )
    return {name: sorted(client.execute(f"SELECT * FROM {name}")) for (name,) in tables}


def test_a_copied_database_has_the_tables_views_and_rows_of_a_prepared_one(
    warehouse: Settings, clickhouse: Client, prepared_database: Settings
) -> None:
    original = connect(prepared_database)
    assert schema(clickhouse, warehouse) == schema(original, prepared_database)
    rows = rows_by_table(original)
    assert rows_by_table(clickhouse) == rows
    assert {table for table in rows if rows[table]} == FILLED
    assert prepare_warehouse(warehouse).applied == []
    original.disconnect()
