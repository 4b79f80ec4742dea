"""Amendments: what a later certificate of an hour changes in the exact figures of the one before it.

A late event after a seal leads to a second certificate; what it changed is named, never silent.
Compared in ClickHouse, bounded to the hour, before the new certificate is inserted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile import compare
from include.reconcile.types import EXCESS, MISMATCHED, MISSING, Certificate, Difference, HourPlan
from include.reconcile.versions import KeptContracts, comparable

MOST_NAMED = 100
ADDED, REMOVED, CHANGED = "added", "removed", "changed"
UNPROVED = "unproved"  # by late events whose hour has no raw records left
CHANGE = {MISSING: ADDED, EXCESS: REMOVED, MISMATCHED: CHANGED}


@dataclass(frozen=True)
class Amendment:
    """A changed cell; figures are "measure=integer …" at the contract's scale, empty where there is no row."""

    cube: str
    window_start: datetime
    dimensions: str
    change: str
    before: str
    after: str


@dataclass(frozen=True)
class Amendments:
    """All changed cells by count, and the first of them by name.

    base_intact: whether the sealed rows of the certificate before are still those that were certified; where they
    are not, some changes undo what was done to them.
    """

    base: Certificate
    base_intact: bool
    added: int
    removed: int
    changed: int
    first: tuple[Amendment, ...]


def amendments(client: Client, contract: Contract, plan: HourPlan) -> Amendments | None:
    """Return what the rows of the plan's seal change against its base; None for an hour's first certificate.

    Figures that the recount filled are no amendments: the certificate before had none of them.
    """
    base = plan.base
    if base is None or (base.frontier, base.seal) == (plan.frontier, plan.seal):
        return None
    found = compare.compare_exact(client, comparable(contract, plan.filled), plan)
    certified = KeptContracts(client, contract).of(plan.base_contract_version)
    digest = compare.digest_of(client, certified, plan.hour, base.frontier, base.seal)
    return Amendments(
        base,
        digest == base.digest,
        found.missing,
        found.excess,
        found.mismatched,
        tuple(_amendment(cell) for cell in found.cells[:MOST_NAMED]),
    )


def _amendment(cell: Difference) -> Amendment:
    """The candidate's figures are what the comparison expects, the base's are what is served until now."""
    return Amendment(
        cell.cube, cell.window_start, cell.dimensions, CHANGE[cell.kind], cell.served, cell.expected
    )


def unproved(client: Client, contract: Contract, plan: HourPlan) -> Amendments | None:
    """Return what late events change in an hour that cannot be proved again; None where nothing is certified or late.

    They are served, as provisional figures beside the seal; nobody can prove them.
    """
    if plan.base is None:
        return None
    found = compare.late_cells(client, contract, plan)
    if not found.total:
        return None
    cells = tuple(replace(_amendment(cell), change=UNPROVED) for cell in found.cells[:MOST_NAMED])
    return Amendments(plan.base, True, found.missing, found.excess, found.mismatched, cells)


def record(client: Client, plan: HourPlan, found: Amendments | None) -> None:
    """Write the named amendments of a certificate; writing them again changes nothing."""
    if found is None or not found.first:
        return
    client.execute(
        "INSERT INTO amendments (stream, hour, frontier, seal, base_frontier, base_seal, cube, window_start, "
        "dimensions, change, before, after) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.frontier, plan.seal, found.base.frontier, found.base.seal),
                *(item.cube, item.window_start, item.dimensions, item.change, item.before, item.after),
            )
            for item in found.first
        ],
    )
