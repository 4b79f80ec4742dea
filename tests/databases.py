"""Databases for tests: prepared once by the product, then copied, which takes a third of the time."""

from __future__ import annotations

from clickhouse_driver import Client

from include.settings import Settings
from include.warehouse.client import connect

# What prepare_warehouse writes; it leaves every other table empty.
FILLED = {"migrations", "views", "contract_versions"}


def copy_database(template: Settings, own: Settings) -> None:
    """Create the database of `own` with all tables, views and rows that prepare_warehouse made for `template`."""
    source, name = template.clickhouse_database, own.clickhouse_database
    client = connect(template)
    try:
        client.execute(f"CREATE DATABASE {name}")
        tables = client.execute(
            "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() "
            "ORDER BY engine = 'View', name"
        )
        for table, statement in tables:
            client.execute(statement.replace(f"{source}.", f"{name}."))
            if table in FILLED:
                client.execute(f"INSERT INTO {name}.{table} SELECT * FROM {source}.{table}")
    finally:
        client.disconnect()


def drop_database(settings: Settings) -> None:
    """Remove a database with all that is in it."""
    client = connect(settings, database="")
    client.execute(f"DROP DATABASE {settings.clickhouse_database}")
    client.disconnect()


def count_rows(
    client: Client, table: str, condition: str = "1", values: dict[str, object] | None = None
) -> int:
    """Return how many rows of a table meet a condition; of those that replace each other, one counts."""
    final = "" if table.endswith("_delta") else "FINAL"
    return int(client.execute(f"SELECT count() FROM {table} {final} WHERE {condition}", values or {})[0][0])
