"""What came of all rounds, as a table by class of fault."""

from __future__ import annotations

from collections.abc import Sequence

from include.reconcile.inject.kinds import KINDS
from tests.prove.checks import CAUGHT, COUNTED, SUPERSEDED, UNDONE, Outcome
from tests.prove.draw import BEFORE, SEALED

FATES = (CAUGHT, COUNTED, SUPERSEDED, UNDONE)
HEADINGS = ("class", "faults", "sealed", "during", *FATES, "named")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line a class and one of sums; sealed and during say how many faults hit a sealed hour or a run."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    for kind in (*KINDS, ""):
        mine = [outcome for outcome in outcomes if not kind or outcome.fault.kind == kind]
        counts = [
            len(mine),
            sum(outcome.fault.state == SEALED for outcome in mine),
            sum(outcome.fault.when != BEFORE for outcome in mine),
            *(sum(outcome.fate == fate for outcome in mine) for fate in FATES),
            sum(outcome.fate == CAUGHT and outcome.named for outcome in mine),
        ]
        lines.append((kind or "all", *map(str, counts)))
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(18),
                *(cell.rjust(len(head)) for cell, head in zip(line[1:], HEADINGS[1:], strict=True)),
            ]
        )
        for line in lines
    )
