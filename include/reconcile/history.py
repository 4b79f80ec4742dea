"""Reads what decides which hours of a stream need a judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import store
from include.reconcile.certified_digests import Key, certified_digests
from include.reconcile.hours import StreamHistory
from include.reconcile.types import Certificate, as_utc
from include.reconcile.versions import KeptContracts, added, unfillable
from include.streaming.ledger import CommitState, validity
from include.streaming.stretch import read_stretch
from include.warehouse.contract_versions import UnknownContractVersionError
from include.warehouse.sql import read_sql

WAITING = timedelta(hours=25)  # an approval is given or void after 24
DIGEST_DAYS = 7  # raw records older than that are gone, so a damaged seal could not be proved again


def read_history(
    client: Client, contract: Contract, state: CommitState, log_starts: Callable[[], Mapping[int, int]]
) -> StreamHistory:
    """Read what is known of a stream's hours, given its ledger.

    log_starts returns where each partition's log begins; it is asked only where a certificate lacks a cube or measure.
    """
    stream = contract.stream
    certified = store.certificates(client, stream)
    later = ledger_hours(client, state)
    first = min(later, default=None)
    for cube in contract.cubes:
        statement = read_sql("reconcile/later_deltas.sql.j2", cube=cube)
        for hour, batch in client.execute(statement, {"stream": stream, "generation": state.generation}):
            later[as_utc(hour)] = max(later.get(as_utc(hour), 0), batch)
    now = datetime.now(UTC)
    digests_from = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=DIGEST_DAYS)
    versions = store.certificate_versions(client, stream, digests_from)
    mended: dict[datetime, int] = {}
    for number, _, hours in repairs(client, stream):
        for hour in hours:
            mended[hour] = max(mended.get(hour, 0), number)
    return StreamHistory(
        first=first,
        certificates=certified,
        later=later,
        digests=certified_digests(client, contract, digests_from, store.LAST_HOUR, versions),
        digests_from=digests_from,
        last_verdicts={
            as_utc(hour): verdict
            for hour, verdict in client.execute(read_sql("reconcile/last_verdicts.sql"), {"stream": stream})
        },
        mended=mended,
        certified_at=_by_hour(client, "reconcile/certified_at.sql", stream),
        unproved=_by_hour(client, "reconcile/unproved.sql", stream),
        waiting=store.waiting_hours(client, stream, now - WAITING),
        unfilled=_unfilled(client, contract, state, certified, versions, log_starts),
    )


def ledger_hours(client: Client, state: CommitState) -> dict[datetime, int]:
    """Return the highest valid batch of each event hour that the ledger lists."""
    stretch = read_stretch(client, state.stream, state.keep)
    found = dict(stretch.hours)
    values = {"stream": state.stream, **validity(state.keep), **stretch.bounds}
    for hour, batch in client.execute(read_sql("reconcile/ledger_hours.sql.j2"), values):
        found[as_utc(hour)] = max(found.get(as_utc(hour), 0), batch)
    return found


def _by_hour(client: Client, statement: str, stream: str) -> dict[datetime, Any]:
    rows = client.execute(read_sql(statement), {"stream": stream})
    return {as_utc(hour): as_utc(found) if isinstance(found, datetime) else found for hour, found in rows}


def _unfilled(
    client: Client,
    contract: Contract,
    state: CommitState,
    certified: Mapping[datetime, Certificate],
    versions: Mapping[Key, int],
    log_starts: Callable[[], Mapping[int, int]],
) -> frozenset[datetime]:
    """Return the hours whose certificate lacks a cube or measure, and whose raw records the log still holds.

    Only of those in versions: what is older is left as it was certified.
    """
    kept = KeptContracts(client, contract)
    lacks = {version: _lacks(kept, version) for version in set(versions.values())}
    older = {key for key, version in versions.items() if lacks[version]}
    lacking = {hour for hour, base in certified.items() if (hour, base.frontier, base.seal) in older}
    if not lacking:
        return frozenset()
    starts = log_starts()
    values = {
        "stream": contract.stream,
        **validity(state.keep),
        "partitions": list(starts) or [0],
        "starts": list(starts.values()) or [0],
    }
    gone = client.execute(read_sql("reconcile/gone_hours.sql.j2"), values)
    return frozenset(lacking - {as_utc(hour) for (hour,) in gone})


def _lacks(kept: KeptContracts, version: int) -> bool:
    try:
        older = kept.of(version)
    except UnknownContractVersionError:
        return False
    return bool(added(kept.current, older)) and not unfillable(kept.current, older)


def repairs(client: Client, stream: str) -> list[tuple[int, str, list[datetime]]]:
    """Return (number, finding, hours) of what was mended in a stream's ledger, oldest first."""
    rows = client.execute(read_sql("reconcile/ledger_repairs.sql"), {"stream": stream})
    return [(number, finding, [as_utc(hour) for hour in hours]) for number, finding, hours in rows]
