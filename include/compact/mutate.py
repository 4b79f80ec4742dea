"""Runs ALTER TABLE … DELETE and waits until it is done: it is asynchronous on the oldest server that is supported."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from clickhouse_driver import Client
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential

from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

MUTATION_SECONDS = 900.0


class MutationError(RuntimeError):
    """A mutation was not done within MUTATION_SECONDS; it goes on, and system.mutations tells why it takes long."""

    def __init__(self, table: str, waiting: list[str]) -> None:
        super().__init__(
            f"{table}: mutation {', '.join(waiting)} not done after {MUTATION_SECONDS:.0f} s; it goes on in "
            "ClickHouse, see system.mutations. Running compact_warehouse again later is safe"
        )


def delete_rows(client: Client, table: str, statement: str, parameters: Mapping[str, object]) -> None:
    """Run a DELETE on a table and wait until every mutation of the table is done.

    Raises:
        MutationError: it takes longer than MUTATION_SECONDS.
    """
    client.execute(statement, parameters)

    def unfinished() -> list[str]:
        return [row[0] for row in client.execute(read_sql("compact/mutations.sql"), {"table": table})]

    def give_up(_: object) -> None:
        raise MutationError(table, unfinished())

    Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(MUTATION_SECONDS),
        wait=wait_exponential(multiplier=0.05, max=2),
        retry_error_callback=give_up,
    )(unfinished)
