"""Drops superseded seals and the deltas that a seal in force includes.

Certificates are read first; then the grace is waited, so that every query that began under an
earlier certificate has ended, whatever any clock says; then only rows below what was read go. A
seal that is being written is not below the certificate in force, and a delta that lands meanwhile
has a batch above its frontier, so both stay. Running it again, or twice at once, does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from clickhouse_driver import Client

from include.compact.mutate import delete_rows
from include.compact.plan import Drop, Held, Kept, damaged, drops, hour_parameters, portions
from include.contracts import Contract
from include.reconcile import store
from include.reconcile.certified_digests import certified_digests
from include.reconcile.types import Certificate, as_utc
from include.streaming.ledger import read_limits, validity
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

VOID_DAYS = 30  # a batch that a takeover left out is evidence for this long
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Compaction:
    """What is to be dropped of one stream; limits are those that say which batches can never count."""

    contract: Contract
    drops: tuple[Drop, ...]
    kept: tuple[Kept, ...]
    limits: Mapping[str, object]


def plan_compaction(client: Client, contract: Contract, now: datetime) -> Compaction:
    """Read the certificates in force and count what they make needless. Changes nothing."""
    certificates = store.certificates(client, contract.stream)
    limits = {
        **batch_limits(client, contract.stream),
        "void_before": store.text(now - timedelta(days=VOID_DAYS)),
    }
    held: list[Held] = []
    for portion in portions(certificates):
        parameters = {**hour_parameters(portion), **limits}
        for cube in contract.cubes:
            for table, template in (
                (cube.sealed_table, "compact/superseded_seals.sql.j2"),
                (cube.delta_table, "compact/included_deltas.sql.j2"),
            ):
                found = client.execute(read_sql(template, cube=cube), parameters)
                held += [Held(table, as_utc(hour), rows) for hour, rows in found]
    kept = _damaged(client, contract, sorted({item.hour for item in held}), certificates)
    return Compaction(contract, tuple(drops(held, certificates, kept)), tuple(kept), limits)


def batch_limits(client: Client, stream: str) -> dict[str, object]:
    """Return the highest generation and its limits, as parameters: which batches are valid."""
    generation, keep = read_limits(client, stream)
    return {"generation": generation, **validity(keep)}


def _damaged(
    client: Client, contract: Contract, hours: list[datetime], certificates: Mapping[datetime, Certificate]
) -> list[Kept]:
    kept = []
    for day in sorted({hour.replace(hour=0) for hour in hours}):
        of_day = [hour for hour in hours if day <= hour < day + DAY]
        versions = store.certificate_versions(client, contract.stream, day, day + DAY)
        digests = certified_digests(client, contract, day, day + DAY, versions)
        kept += damaged(contract.stream, of_day, certificates, digests)
    return kept


def compact(client: Client, compaction: Compaction) -> None:
    """Drop what was planned, at least the grace after it was planned: seals first, then deltas.

    Raises:
        MutationError: ClickHouse did not finish in time.
    """
    cubes = compaction.contract.cubes
    for template, tables in (
        ("compact/drop_superseded_seals.sql.j2", {cube.sealed_table: cube for cube in cubes}),
        ("compact/drop_included_deltas.sql.j2", {cube.delta_table: cube for cube in cubes}),
    ):
        for drop in compaction.drops:
            if drop.table in tables:
                statement = read_sql(template, cube=tables[drop.table])
                delete_rows(
                    client, drop.table, statement, {**hour_parameters(drop.hours), **compaction.limits}
                )
                log.info("%s: dropped %s rows of %s hours", drop.table, drop.rows, len(drop.hours))
