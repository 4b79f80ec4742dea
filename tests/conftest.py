"""What all tests share: services are closed to unit tests, and open, with their settings, to the others.

Integration and system tests are those under their folders; they need `make up`, and a service
that is missing is an error, never a skip.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from confluent_kafka.admin import AdminClient, NewTopic

from include.settings import PREFIX, PROJECT_ROOT, Settings, get_settings
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.databases import copy_database, drop_database
from tests.helpers import eventually
from tests.leftovers import fresh_suffix

ENV_FILE = PROJECT_ROOT / ".local" / "env"
OPEN_FOLDERS = {"integration", "system"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = Path(item.path).relative_to(PROJECT_ROOT / "tests").parts[0]
        if folder in OPEN_FOLDERS:
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def _services(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the network to unit tests and give them no settings; load the platform's for the others."""
    if any(request.node.get_closest_marker(name) for name in OPEN_FOLDERS):
        for name, value in platform_environment().items():
            monkeypatch.setenv(name, value)
    else:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Take back what a test's entry point configured: its handler writes to a stream that ends with the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


def _refuse(_: socket.socket, address: Any) -> None:
    raise RuntimeError(f"a unit test tried to reach {address}: it belongs under tests/integration")


def platform_environment() -> dict[str, str]:
    """Return what .local/env exports."""
    if not ENV_FILE.exists():
        raise RuntimeError("the local platform was never started: run `make up`")
    pairs = [
        shlex.split(line)[1].split("=", 1)
        for line in ENV_FILE.read_text(encoding="utf-8").splitlines()
        if line.startswith("export ")
    ]
    return dict(pairs)


def platform_settings(**changes: object) -> Settings:
    """Return the settings of the running platform with these changes, for fixtures that outlive a test."""
    values = {name.removeprefix(PREFIX).lower(): value for name, value in platform_environment().items()}
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    return Settings.model_validate({**known, **changes})


@pytest.fixture
def settings() -> Settings:
    """Settings of the running platform."""
    return get_settings()


@pytest.fixture(scope="session")
def prepared_database() -> Iterator[Settings]:
    """Settings of a database as prepare_warehouse makes it, for `warehouse` to copy; no test writes to it."""
    own = platform_settings(clickhouse_database=f"test_{fresh_suffix()}")
    prepare_warehouse(own)
    yield own
    drop_database(own)


@pytest.fixture
def warehouse(settings: Settings, prepared_database: Settings) -> Iterator[Settings]:
    """Settings whose ClickHouse database is new, migrated, and dropped at the end."""
    own = settings.model_copy(update={"clickhouse_database": f"test_{fresh_suffix()}"})
    copy_database(prepared_database, own)
    yield own
    drop_database(own)


@pytest.fixture
def clickhouse(warehouse: Settings) -> Iterator[Client]:
    """A client on the database of `warehouse`."""
    client = connect(warehouse)
    yield client
    client.disconnect()


def create_topic(admin: AdminClient, topic: NewTopic) -> None:
    """Create a topic and wait until each of its partitions has a leader."""
    admin.create_topics([topic])[topic.topic].result(30)

    def has_leaders() -> bool:
        known = admin.list_topics(timeout=10).topics.get(topic.topic)
        return known is not None and all(found.leader >= 0 for found in known.partitions.values())

    eventually(has_leaders, f"topic {topic.topic} has leaders", 30)


@pytest.fixture
def kafka_topic(settings: Settings) -> Iterator[str]:
    """A new topic of four partitions, deleted at the end."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    name = f"test-{fresh_suffix()}"
    config = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": str(2**62)}
    create_topic(admin, NewTopic(name, 4, 1, config=config))
    yield name
    admin.delete_topics([name])[name].result(30)


@pytest.fixture
def control_topic(warehouse: Settings) -> Iterator[Settings]:
    """The settings of `warehouse` with a control topic of their own."""
    admin = AdminClient({"bootstrap.servers": warehouse.kafka_bootstrap_servers})
    name = f"test-control-{fresh_suffix()}"
    create_topic(admin, NewTopic(name, 1, 1, config={"retention.ms": "-1"}))
    yield warehouse.model_copy(update={"control_topic": name})
    admin.delete_topics([name])[name].result(30)
