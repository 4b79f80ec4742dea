"""The digests of sealed rows as their certificates were made: by the cubes of each certificate's contract version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import compare
from include.reconcile.versions import KeptContracts
from include.warehouse.contract_versions import UnknownContractVersionError

Key = tuple[datetime, int, int]  # hour, frontier, seal


def certified_digests(
    client: Client,
    contract: Contract,
    start: datetime,
    end: datetime,
    versions: Mapping[Key, int],
) -> dict[Key, str]:
    """Return the digest of each seal's rows for hours in [start, end).

    versions: as store.certificate_versions returns them. Where a version is not kept, or none is named, the loaded
    contract's cubes are taken.
    """
    found = compare.digests(client, contract, start, end)
    kept = KeptContracts(client, contract)
    for version in sorted(set(versions.values()) - {0, contract.version}):
        try:
            older = kept.of(version)
        except UnknownContractVersionError:
            continue
        if older.cubes == contract.cubes:
            continue
        theirs = compare.digests(client, older, start, end)
        for key, named in versions.items():
            if named == version:
                found.pop(key, None)
                found |= {key: theirs[key]} if key in theirs else {}
    return found
