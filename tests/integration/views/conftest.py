"""The two warehouses on which the tests of views and detectors lay out their cells: the platform's server, and chdb."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chdb.session import Session

from include.settings import Settings
from include.warehouse.client import connect
from tests.conftest import platform_settings
from tests.databases import copy_database, drop_database
from tests.leftovers import fresh_suffix
from tests.views import Desk, chdb_desk, server_desk


@pytest.fixture(scope="package")
def on_server(prepared_database: Settings) -> Iterator[Desk]:
    own = platform_settings(clickhouse_database=f"test_{fresh_suffix()}")
    copy_database(prepared_database, own)
    client = connect(own)
    yield server_desk(client)
    client.disconnect()
    drop_database(own)


@pytest.fixture(scope="package")
def on_chdb() -> Iterator[Desk]:
    session = Session()
    yield chdb_desk(session, f"test_{fresh_suffix()}")
    session.close()


@pytest.fixture(params=["server", "chdb"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """An empty warehouse of which every batch of generation 1 is valid."""
    found: Desk = request.getfixturevalue(f"on_{request.param}")
    found.clear()
    found.takes_over()
    return found
