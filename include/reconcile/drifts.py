"""What kind of damage a difference is. Pure.

Told from the gain of a cell (served minus expected, by measure) and from what the ledger and the
deltas say of each batch. Where several kinds hit one hour, each cell gets the likeliest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from include.reconcile.types import Difference, Differences

LOST_BATCH, DOUBLED_BATCH = "lost_batch", "doubled_batch"
LOST_ROW, DOUBLED_ROW, ALTERED, WRONG_WINDOW = "lost_row", "doubled_row", "altered_figure", "wrong_window"
GAP, OVERLAP, MISLABEL, REPLAY = "ledger_gap", "ledger_overlap", "mislabel", "wrong_replay"
FINDINGS = {"ledger gap": GAP, "ledger overlap": OVERLAP, "mislabel": MISLABEL, "replay": REPLAY}


@dataclass(frozen=True)
class BatchEvidence:
    """Events of one hour in one batch: listed by its ledger rows, None where it has none, and served by a cube."""

    batch: int
    listed: int | None
    served: int


def batch_drifts(evidence: Sequence[BatchEvidence]) -> list[tuple[str, str]]:
    """Return (class, sentence) of each batch that is missing among the deltas, or is there twice."""
    sizes = {found.listed for found in evidence if found.listed}
    drifts = []
    for found in evidence:
        if found.listed and not found.served:
            drifts.append((LOST_BATCH, f"batch {found.batch} has {found.listed} events and none is served"))
        elif found.listed and found.served == 2 * found.listed:
            drifts.append((DOUBLED_BATCH, f"batch {found.batch} serves its {found.listed} events twice"))
        elif not found.listed and found.served in sizes:
            drifts.append(
                (DOUBLED_BATCH, f"batch {found.batch} is in no ledger row and serves {found.served} events")
            )
    return drifts


def classified(
    differences: Differences,
    counts: Mapping[str, str],
    batches: Sequence[tuple[str, str]],
    extremes: Mapping[str, Collection[str]] | None = None,
) -> Differences:
    """Return the differences with each named cell's class.

    counts: cube -> its measure of kind count. extremes: cube -> its minima and maxima, of which a window does not gain
    what another one loses.
    """
    kinds = {kind for kind, _ in batches}
    gains = [_gain(cell, (extremes or {}).get(cell.cube, ())) for cell in differences.cells]
    moved = Counter(
        (cell.cube, cell.dimensions, frozenset(gain.items()))
        for cell, gain in zip(differences.cells, gains, strict=True)
    )
    cells = []
    for cell, gain in zip(differences.cells, gains, strict=True):
        opposite = frozenset((name, -figure) for name, figure in gain.items())
        events = gain.get(counts.get(cell.cube, ""), 0)
        if events and moved[cell.cube, cell.dimensions, opposite]:
            drift = WRONG_WINDOW
        elif events < 0:
            drift = LOST_BATCH if LOST_BATCH in kinds else LOST_ROW
        elif events > 0:
            drift = DOUBLED_BATCH if DOUBLED_BATCH in kinds else DOUBLED_ROW
        else:
            drift = ALTERED
        cells.append(replace(cell, drift=drift))
    return replace(differences, cells=tuple(cells))


def all_drifts(
    findings: Sequence[str], batches: Sequence[tuple[str, str]], differences: Differences
) -> tuple[str, ...]:
    """Return every class that was found, in order of name."""
    named = {drift for finding in findings for start, drift in FINDINGS.items() if finding.startswith(start)}
    return tuple(sorted(named | {kind for kind, _ in batches} | {cell.drift for cell in differences.cells}))


def _gain(cell: Difference, extremes: Collection[str]) -> dict[str, int]:
    """Return served minus expected of every measure that is a number and adds up."""
    expected, served = _figures(cell.expected), _figures(cell.served)
    names = (expected | served).keys() - set(extremes)
    return {name: served.get(name, 0) - expected.get(name, 0) for name in names}


def _figures(text: str) -> dict[str, int]:
    figures = {}
    for part in text.split():
        name, _, figure = part.partition("=")
        if figure.lstrip("-").isdigit():
            figures[name] = int(figure)
    return figures
