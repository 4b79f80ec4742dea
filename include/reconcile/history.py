"""Reads what decides which hours of a stream need a judgement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import compare, store
from include.reconcile.hours import StreamHistory
from include.reconcile.types import as_utc
from include.streaming.ledger import CommitState
from include.warehouse.sql import read_sql

DIGEST_DAYS = 7  # raw records older than that are gone, so a damaged seal could not be proved again


def read_history(client: Client, contract: Contract, state: CommitState) -> StreamHistory:
    """Read what is known of a stream's hours, given its ledger."""
    stream = contract.stream
    certified = store.certificates(client, stream)
    later: dict[datetime, int] = {}
    for row in state.rows:
        for hour in row.hours:
            later[as_utc(hour)] = max(later.get(as_utc(hour), 0), row.batch)
    listed = min([*later, *certified], default=None)
    for cube in contract.cubes:
        statement = read_sql("reconcile/later_deltas.sql.j2", cube=cube)
        for hour, batch in client.execute(statement, {"stream": stream, "generation": state.generation}):
            later[as_utc(hour)] = max(later.get(as_utc(hour), 0), batch)
    now = datetime.now(UTC)
    digests_from = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=DIGEST_DAYS)
    mended: dict[datetime, int] = {}
    for number, _, hours in repairs(client, stream):
        for hour in hours:
            mended[hour] = max(mended.get(hour, 0), number)
    return StreamHistory(
        first=listed,
        certificates=certified,
        later=later,
        digests=compare.digests(client, contract, digests_from, store.LAST_HOUR),
        digests_from=digests_from,
        last_verdicts={
            as_utc(hour): verdict
            for hour, verdict in client.execute(read_sql("reconcile/last_verdicts.sql"), {"stream": stream})
        },
        mended=mended,
    )


def repairs(client: Client, stream: str) -> list[tuple[int, str, list[datetime]]]:
    """Return (number, finding, hours) of what was mended in a stream's ledger, oldest first."""
    rows = client.execute(read_sql("reconcile/ledger_repairs.sql"), {"stream": stream})
    return [(number, finding, [as_utc(hour) for hour in hours]) for number, finding, hours in rows]
