"""A ClickHouse server of our own: configuration, users and data under `.local/clickhouse`.

A ClickHouse that the system's package runs is neither used nor touched.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from clickhouse_driver import Client
from clickhouse_driver.errors import Error
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.local.env import process_environment
from include.local.layout import HOST, Layout
from include.local.secrets import Secrets, write_private
from include.local.service import Component, Service
from include.settings import Settings

ANALYST = "analyst"
_TEMPLATES = Path(__file__).parent / "templates"


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _render(template: str, **values: object) -> str:
    jinja = Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, autoescape=True)
    return jinja.get_template(template).render(**values) + "\n"


def analyst_seconds(grace_seconds: float) -> int:
    """Return the longest an analyst's query may run: under the grace in which a seal is settled, at least 1 s."""
    return max(1, int(grace_seconds) - 1)


def _prepare(layout: Layout, secrets: Secrets, settings: dict[str, str]) -> None:
    home = layout.home / "clickhouse"
    for folder in ("data", "tmp", "user_files", "format_schemas"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    database = settings["PLATFORM_CLICKHOUSE_DATABASE"]
    write_private(
        home / "config.xml",
        _render("config.xml.j2", home=home, host=HOST, ports=layout.ports),
    )
    users = _render(
        "users.xml.j2",
        database=database,
        platform_digest=_digest(secrets.clickhouse_password),
        analyst_digest=_digest(secrets.analyst_password),
        analyst_seconds=analyst_seconds(float(settings["PLATFORM_GRACE_SECONDS"])),
    )
    write_private(home / "users.xml", users)
    login = _render(
        "analyst.xml.j2",
        host=HOST,
        port=layout.ports.clickhouse,
        user=ANALYST,
        password=secrets.analyst_password,
        database=database,
    )
    write_private(home / "analyst.xml", login)


def _missing(layout: Layout, secrets: Secrets, database: str) -> str | None:
    ping = f"http://{HOST}:{layout.ports.clickhouse_http}/ping"
    try:
        httpx.get(ping, timeout=2).raise_for_status()
    except httpx.HTTPError as error:
        return f"an answer of {ping} ({error})"
    where = f"{HOST}:{layout.ports.clickhouse}"
    client = Client(
        HOST,
        port=layout.ports.clickhouse,
        user=str(Settings.model_fields["clickhouse_user"].default),
        password=secrets.clickhouse_password,
        connect_timeout=2,
        send_receive_timeout=5,
    )
    try:
        client.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
    except (Error, OSError) as error:
        return f"an answer at {where} ({str(error).splitlines()[0][:120]})"
    finally:
        client.disconnect()
    return None


def clickhouse(
    layout: Layout, binary: tuple[str, ...], secrets: Secrets, settings: dict[str, str]
) -> Component:
    """Return ClickHouse as a component; `binary` is the command that starts the server."""
    home = layout.home / "clickhouse"
    service = Service(
        name="clickhouse",
        command=(*binary, f"--config-file={home / 'config.xml'}"),
        env=process_environment(layout, {"TZ": "UTC"}),
        log=layout.logs / "clickhouse.log",
        ready=lambda: _missing(layout, secrets, settings["PLATFORM_CLICKHOUSE_DATABASE"]),
        limit_seconds=60,
        ports=(layout.ports.clickhouse, layout.ports.clickhouse_http),
    )
    return Component("ClickHouse", (service,), lambda: _prepare(layout, secrets, settings))
