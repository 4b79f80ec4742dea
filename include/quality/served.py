"""What one hour of a stream is served from: its certificate in force, and the committed batches after it.

Owns: reading that once, so that every cube and the ledger are asked about the same batches while others commit.
Leaves to others: which rows that gives (sql/quality/cubes.sql.j2).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.reconcile.store import bounds
from include.reconcile.versions import KeptContracts, added
from include.streaming.ledger import read_position, validity
from include.warehouse.contract_versions import UnknownContractVersionError
from include.warehouse.sql import read_sql


@dataclass(frozen=True)
class Served:
    """Query parameters of an hour, and the cubes whose events can be counted.

    parameters: `stream`; `from`, `to` and `hour` (text, UTC); `base_frontier`, `base_seal` and `certified_events` of
    the certificate in force, 0 without one; `frontier`, the last batch of the ledger; `generations` and `limits`, which
    tell valid batches; `lateness_us`, the contract's lateness in microseconds.
    """

    parameters: dict[str, Any]
    counted: tuple[Cube, ...]


def read_served(client: Client, contract: Contract, hour: datetime) -> Served:
    """Read what an hour (UTC) is served from.

    The certificate is read before the ledger: what a batch brought is there before its ledger rows are, and a later
    certificate replaces nothing of an earlier one.
    """
    within = {"stream": contract.stream, **bounds(hour)}
    found = client.execute(read_sql("quality/certificate.sql"), within)
    frontier, seal, events, version = found[0] if found else (0, 0, 0, 0)
    committed = read_position(client, contract.stream).keep
    parameters = {
        **within,
        **validity(committed),
        "hour": within["from"],
        "base_frontier": frontier,
        "base_seal": seal,
        "certified_events": events,
        "frontier": max(committed.values(), default=0),
        "lateness_us": contract.lateness_seconds * 1_000_000,
    }
    return Served(parameters, counted_cubes(contract, _unsealed(client, contract, version)))


def counted_cubes(contract: Contract, unsealed: frozenset[str] = frozenset()) -> tuple[Cube, ...]:
    """Return the cubes that count their events, without those (`cube`, `cube.measure`) that no seal holds yet."""
    return tuple(
        cube
        for cube in contract.cubes
        if cube.plain_count and not unsealed & {cube.name, f"{cube.name}.{cube.plain_count}"}
    )


def _unsealed(client: Client, contract: Contract, version: int) -> frozenset[str]:
    """Return what a certificate's contract version did not have; nothing where that version is not kept."""
    try:
        return frozenset(added(contract, KeptContracts(client, contract).of(version)))
    except UnknownContractVersionError:
        return frozenset()
