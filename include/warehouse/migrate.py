"""Brings a database to the schema of this checkout: numbered migrations, cube tables, views.

Running it again changes nothing and says so. A migration that was applied and then edited is
refused by name.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_driver import Client

from include.contracts import Contract, Cube, load_contracts
from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.contract_versions import store_version
from include.warehouse.cube_tables import create_statements, ensure_cube
from include.warehouse.sql import SQL_DIR, split_statements
from include.warehouse.views import UnknownCubeError, view_names, view_sql

log = logging.getLogger(__name__)


class MigrationError(RuntimeError):
    """The database cannot be brought to this schema without a person's decision."""


@dataclass(frozen=True)
class PreparedWarehouse:
    """What was applied now and what was there already, by name."""

    applied: list[str]
    unchanged: list[str]


def prepare_warehouse(settings: Settings, contracts: list[Contract] | None = None) -> PreparedWarehouse:
    """Create the database, apply what is missing, verify the rest.

    Raises:
        MigrationError: an applied migration was edited.
        ContractChangedError: a contract was edited under the version that is kept.
        CubeShapeError: a cube's table cannot take the shape that its contract asks for.
        ViewError: a view asks for what the contracts do not hold.
    """
    name = settings.clickhouse_database
    admin = connect(settings, database="")
    admin.execute(f"CREATE DATABASE IF NOT EXISTS {name}")
    admin.disconnect()
    client = connect(settings)
    try:
        steps = _migrate(client)
        prepared = load_contracts() if contracts is None else contracts
        for contract in prepared:
            new = store_version(client, contract)
            steps.append((f"contract {contract.stream} version {contract.version}", new))
            for cube in contract.cubes:
                steps += ensure_cube(client, cube)
        steps += _create_views(client, prepared, every=contracts is None)
    finally:
        client.disconnect()
    return PreparedWarehouse([name for name, new in steps if new], [name for name, new in steps if not new])


def schema_statements(cubes: Iterable[Cube] = ()) -> Iterator[str]:
    """Yield what creates the tables of an empty database that keeps no account of it: an embedded ClickHouse."""
    for path in _migrations():
        yield from split_statements(path.read_text(encoding="utf-8"))
    for cube in cubes:
        yield from create_statements(cube).values()


def _migrations() -> list[Path]:
    """Return the files of the migrations in order."""
    return sorted((SQL_DIR / "migrations").glob("[0-9]*.sql"))


def _migrate(client: Client) -> list[tuple[str, bool]]:
    client.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number UInt32, name String, sha256 String, "
        "applied_at DateTime('UTC')) ENGINE = ReplacingMergeTree() ORDER BY number"
    )
    applied = {row[0]: row[1] for row in client.execute("SELECT number, sha256 FROM migrations FINAL")}
    steps = []
    for path in _migrations():
        number, text = int(path.name.split("_")[0]), path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if number in applied:
            if applied[number] != digest:
                raise MigrationError(
                    f"{path.name} was applied and has been edited since: write a new migration instead"
                )
            steps.append((path.name, False))
            continue
        for statement in split_statements(text):
            client.execute(statement)
        client.execute("INSERT INTO migrations VALUES", [(number, path.name, digest, datetime.now(UTC))])
        log.info("applied %s", path.name)
        steps.append((path.name, True))
    return steps


def _create_views(client: Client, contracts: Sequence[Contract], every: bool) -> list[tuple[str, bool]]:
    """Views hold no data: one whose text changed is replaced. Unless `every`, those of other streams are left alone."""
    client.execute(
        "CREATE TABLE IF NOT EXISTS views (name String, sha256 String, created_at DateTime('UTC')) "
        "ENGINE = ReplacingMergeTree(created_at) ORDER BY name"
    )
    known = dict(client.execute("SELECT name, sha256 FROM views FINAL"))
    steps = []
    for view in view_names():
        try:
            text = view_sql(view, contracts)
        except UnknownCubeError:
            if every:
                raise
            continue
        digest = hashlib.sha256(text.encode()).hexdigest()
        new = known.get(view) != digest or not client.execute("EXISTS TABLE " + view)[0][0]
        if new:
            _replace_view(client, view, text)
            client.execute("INSERT INTO views VALUES", [(view, digest, datetime.now(UTC))])
        steps.append((f"view {view}", new))
    return steps


def _replace_view(client: Client, view: str, text: str) -> None:
    """The old view stands until the new one is there: one that the server refuses costs nobody anything."""
    for leftover in (f"{view}_next", f"{view}_last"):
        client.execute(f"DROP TABLE IF EXISTS {leftover}")
    client.execute(text.replace(f"CREATE VIEW {view} AS", f"CREATE VIEW {view}_next AS", 1))
    if client.execute(f"EXISTS TABLE {view}")[0][0]:
        client.execute(f"RENAME TABLE {view} TO {view}_last, {view}_next TO {view}")
        client.execute(f"DROP TABLE {view}_last")
    else:
        client.execute(f"RENAME TABLE {view}_next TO {view}")
