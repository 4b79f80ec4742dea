"""Removes rows for good: on old servers a removal is a mutation that ends some time later."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from clickhouse_driver import Client

from include.warehouse.sql import read_sql

MUTATION_SECONDS = 60.0


class MutationError(RuntimeError):
    """ClickHouse did not finish a removal within MUTATION_SECONDS, or rows were left."""


def remove(client: Client, table: str, condition: str, values: Mapping[str, object]) -> None:
    """Delete the rows of `table` that a condition names, wait, and verify.

    Raises:
        MutationError
    """
    before = set(_mutations(client, table))
    names = {"table": table, "condition": condition}
    client.execute(read_sql("inject/delete_rows.sql.j2", **names), values)
    deadline = time.monotonic() + MUTATION_SECONDS
    while True:
        ours = {name: done for name, done in _mutations(client, table).items() if name not in before}
        if all(ours.values()):
            break
        if time.monotonic() > deadline:
            raise MutationError(
                f"{table}: mutation {', '.join(ours)} not done after {MUTATION_SECONDS:.0f} s"
            )
        time.sleep(0.1)
    left = client.execute(read_sql("inject/rows_left.sql.j2", **names), values)[0][0]
    if left:
        raise MutationError(f"{table}: {left} rows are left after the mutation was done")


BY_BATCH = "batch = %(batch)s"
BY_LEDGER_KEY = "stream = %(stream)s AND batch = %(batch)s AND partition = %(partition)s"


def keyed(keys: Sequence[str]) -> str:
    """Return the condition that names rows of an hour by window and these expressions; parameter `keys`."""
    return read_sql("inject/_by_keys.sql.j2", keys=keys)


def _mutations(client: Client, table: str) -> dict[str, bool]:
    return {
        name: bool(done) for name, done in client.execute(read_sql("inject/mutations.sql"), {"table": table})
    }
