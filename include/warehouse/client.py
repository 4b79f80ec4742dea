"""Connections to ClickHouse by its native protocol."""

from __future__ import annotations

from typing import Any

from clickhouse_driver import Client
from clickhouse_driver.errors import ErrorCodes, ServerException

from include.settings import Settings, get_settings

NOT_PREPARED = (ErrorCodes.UNKNOWN_TABLE, ErrorCodes.UNKNOWN_DATABASE)


class _Client(Client):  # type: ignore[misc]
    """A client whose errors are one line, without the server's stack trace, and say what to do about a missing table."""

    def receive_packet(self) -> Any:
        try:
            return super().receive_packet()
        except ServerException as error:
            raise _readable(error) from None

    def establish_connection(self, settings: Any) -> Any:
        try:
            return super().establish_connection(settings)
        except ServerException as error:
            raise _readable(error) from None


def _readable(error: ServerException) -> ServerException:
    error.message = str(error.message).split(" Stack trace:", 1)[0].rstrip(". ")
    if error.code in NOT_PREPARED:
        error.message += ": the warehouse is not prepared for this checkout; trigger prepare_platform"
    error.args = (error.message,)
    return error


def connect(
    settings: Settings | None = None, database: str | None = None, answer_seconds: int = 300
) -> Client:
    """Return a client on the platform's database; it connects at the first query. Not for use by two threads.

    Raises, at the first query:
        clickhouse_driver.errors.NetworkError: the server cannot be reached.
        clickhouse_driver.errors.ServerException: the login or the database is refused.
    """
    settings = settings or get_settings()
    return _Client(
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
