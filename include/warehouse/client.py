"""Connections to ClickHouse by its native protocol."""

from __future__ import annotations

from clickhouse_driver import Client

from include.settings import Settings, get_settings


def connect(
    settings: Settings | None = None, database: str | None = None, answer_seconds: int = 300
) -> Client:
    """Return a client on the platform's database; it connects at the first query. Not for use by two threads.

    Raises, at the first query:
        clickhouse_driver.errors.NetworkError: the server cannot be reached.
        clickhouse_driver.errors.ServerException: the login or the database is refused.
    """
    settings = settings or get_settings()
    return Client(
        host=settings.clickhouse_host,
        port=settings.clickhouse_port,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.clickhouse_database if database is None else database,
        client_name="platform",
        connect_timeout=5,
        send_receive_timeout=answer_seconds,
        compression="lz4",
        tcp_keepalive=True,
    )
