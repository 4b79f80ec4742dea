"""The verdict of an hour from what was measured. Pure: no clock, no service.

PROVED when everything is equal; otherwise REPAIRED where repair is allowed, since the exact
rows are written and read back before this is asked, and DRIFTED where it is not. A recount that did
not judge each record that it read once repairs nothing: its hour is DRIFTED until one that did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from include.reconcile.drifts import all_drifts, classified
from include.reconcile.types import (
    DRIFTED,
    PROVED,
    REPAIRED,
    Difference,
    Differences,
    Judgement,
    PartitionBalance,
)

ALTERED = "the sealed rows are not those that were certified"


@dataclass(frozen=True)
class Measured:
    """All that an hour's verdict depends on.

    as_they_came: recount against base and deltas. exact: recount against the base's sealed rows, None where
    there is no base or deltas came after it. base_digest: (certified, found), None where there is no base.
    batches: (class of drift, sentence) of batches that are missing or doubled. counts: cube -> measure of kind count.
    extremes: cube -> measures of kinds min and max. filled: cubes and measures that were not folded for all of the
    hour, and are not compared.
    """

    repair_allowed: bool
    balances: tuple[PartitionBalance, ...]
    findings: tuple[str, ...]
    as_they_came: Differences
    exact: Differences | None
    base_digest: tuple[str, str] | None
    events_as_they_came: int
    batches: tuple[tuple[str, str], ...] = ()
    counts: Mapping[str, str] = field(default_factory=dict)
    extremes: Mapping[str, Collection[str]] = field(default_factory=dict)
    filled: tuple[str, ...] = ()


def judge(measured: Measured) -> Judgement:
    """Return the verdict, its reasons and the differing cells."""
    reasons = list(measured.findings)
    reasons += [
        f"partition {b.partition} does not balance: {b.offsets} offsets, {b.this_hour} of this hour, "
        f"{b.other_hours} of others, {b.rejected} rejected, {b.non_records} non-records"
        for b in measured.balances
        if not b.holds
    ]
    torn = [b.partition for b in measured.balances if not b.is_whole]
    if torn:
        reasons.append(f"the recount did not judge each record that it read once, in partitions {torn}")
    balanced = sum(balance.this_hour for balance in measured.balances)
    if balanced != measured.events_as_they_came:
        reasons.append(
            f"{measured.events_as_they_came} events of this hour were read, its ranges hold {balanced}"
        )
    together = _together(measured.as_they_came, measured.exact)
    differences = classified(together, measured.counts, measured.batches, measured.extremes)
    if differences.total:
        reasons.append(
            f"served figures differ in {differences.total} cells: {differences.missing} missing, "
            f"{differences.excess} excess, {differences.mismatched} mismatched"
        )
    reasons += [f"{kind}: {sentence}" for kind, sentence in measured.batches]
    if measured.base_digest is not None and measured.base_digest[0] != measured.base_digest[1]:
        reasons.append(ALTERED)
    filled = [f"filled by the recount, since not all was folded: {', '.join(measured.filled)}"]
    filled = filled if measured.filled else []
    if not reasons:
        return Judgement(PROVED, "; ".join(["equal at once", *filled]))
    drifts = all_drifts(measured.findings, measured.batches, differences)
    verdict = REPAIRED if measured.repair_allowed and not torn else DRIFTED
    return Judgement(verdict, "; ".join(reasons + filled), differences, drifts)


def _together(first: Differences, second: Differences | None) -> Differences:
    """Both comparisons' cells, one that differs in both once."""
    if second is None or not second.total:
        return first
    if not first.total:
        return second
    listed = {_key(cell) for cell in first.cells}
    further = tuple(cell for cell in second.cells if _key(cell) not in listed)
    counts = [sum(cell.kind == kind for cell in further) for kind in ("missing", "excess", "mismatched")]
    return Differences(
        first.missing + counts[0],
        first.excess + counts[1],
        first.mismatched + counts[2],
        first.cells + further,
    )


def _key(cell: Difference) -> tuple[object, ...]:
    return cell.cube, cell.window_start, cell.dimensions
