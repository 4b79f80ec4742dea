"""What a run found, as one aligned table with its evidence, and the failure that a bad verdict is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.reconcile.shown import cell_lines
from include.reconcile.types import (
    CERTIFYING,
    DRIFTED,
    FAILING,
    REPAIRED,
    Difference,
    HourPlan,
    Judgement,
    ReconcileError,
    Recounted,
)
from include.settings import PROJECT_ROOT

log = logging.getLogger(__name__)

HEADINGS = ("stream", "hour", "verdict", "differences", "offsets read", "windows", "reason")
MOST_CELLS_SHOWN = 10  # of an hour; the table differences has the others
WENT = {REPAIRED: f"{DRIFTED} -> {REPAIRED}"}  # what a verdict says of the way to it
LEFT_ALIGNED = ("stream", "hour", "verdict", "reason")


class HoursNotProvedError(ReconcileError):
    """At least one hour is DRIFTED or UNPROVABLE. People are told of the hours, and not of the task that says so."""

    incidents = ()


@dataclass(frozen=True)
class HourLine:
    """One hour of a run. hour is YYYY-MM-DDTHH, as in the asset's partition key; waits: for a person's approval.

    remarks: what the recount counted among the hour's events, by name, without what is zero.
    """

    stream: str
    hour: str
    offsets: int
    windows: int
    verdict: str
    missing: int
    excess: int
    mismatched: int
    reason: str
    cells: tuple[Difference, ...] = ()
    waits: bool = False
    remarks: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(
        cls, plan: HourPlan, recounted: Recounted | None, judgement: Judgement, waits: bool = False
    ) -> HourLine:
        """Build the line of a judged hour."""
        differences = judgement.differences
        return cls(
            stream=plan.stream,
            hour=f"{plan.hour:%Y-%m-%dT%H}",
            offsets=plan.offsets if recounted else 0,
            windows=recounted.windows if recounted else 0,
            verdict=judgement.verdict,
            missing=differences.missing,
            excess=differences.excess,
            mismatched=differences.mismatched,
            reason=judgement.reason,
            cells=differences.cells[:MOST_CELLS_SHOWN],
            waits=waits,
            remarks=_remarks(recounted) if recounted else (),
        )

    @property
    def differences(self) -> int:
        """Differing cells."""
        return self.missing + self.excess + self.mismatched


def _remarks(recounted: Recounted) -> tuple[tuple[str, int], ...]:
    counted = {
        "late": sum(item.late for item in recounted.balances),
        "duplicates": sum(item.duplicates for item in recounted.balances),
        "without identity": recounted.events_without_identity or 0,
        "id_reused": recounted.id_reused or 0,
    }
    return tuple((name, count) for name, count in counted.items() if count)


def table(lines: Sequence[HourLine]) -> str:
    """Return the lines as an aligned table, or a sentence that explains why there are none."""
    if not lines:
        return "No hour to judge: every closed hour is certified and unchanged since."
    rows = [
        HEADINGS,
        *(
            (
                *(x.stream, x.hour, WENT.get(x.verdict, x.verdict), f"{x.differences:,}"),
                *(f"{x.offsets:,}", f"{x.windows:,}", x.reason),
            )
            for x in lines
        ),
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in LEFT_ALIGNED else cell.rjust(width)
            for name, cell, width in zip(HEADINGS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def remarks(lines: Sequence[HourLine]) -> list[str]:
    """Return a line for each hour of whose events there is something to remark, whatever the verdict."""
    return [
        f"{line.stream} {line.hour}: " + ", ".join(f"{name} {count:,}" for name, count in line.remarks)
        for line in lines
        if line.remarks
    ]


def differing(lines: Sequence[HourLine]) -> list[str]:
    """Return two lines for each of the first differing cells of each hour, and how many more there are."""
    found = []
    for line in lines:
        for cell in line.cells:
            found += cell_lines(line.stream, cell)
        if line.differences > len(line.cells):
            found.append(f"  {line.differences - len(line.cells):,} more: see the table differences")
    return found


def evidence(lines: Sequence[HourLine], run: str, certificates: Path) -> list[str]:
    """Return where a run's certificates, whose folder is `certificates`, and its evidence are."""
    found = []
    if verified(lines):
        within = certificates.is_relative_to(PROJECT_ROOT)
        folder = certificates.relative_to(PROJECT_ROOT) if within else certificates
        found.append(f"certificates: {folder}/<stream>/<hour>.json, and the table certificates")
    if lines:
        found.append(
            f"evidence: run {run} of the table verdicts; differences and balances by stream and hour"
        )
    return found


def log_table(lines: Sequence[HourLine], run: str, certificates: Path) -> None:
    """Log the table, what is remarkable, what differed and where the evidence is, a log line for each of their lines."""
    found = [*table(lines).splitlines(), *remarks(lines), *differing(lines)]
    for row in [*found, *evidence(lines, run, certificates)]:
        log.info("%s", row)


def verified(lines: Sequence[HourLine]) -> dict[str, list[str]]:
    """Return the hours that are certified now, by stream."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.verdict in CERTIFYING:
            found.setdefault(line.stream, []).append(line.hour)
    return found


def require_no_failure(lines: Sequence[HourLine]) -> None:
    """Pass unless an hour is DRIFTED or UNPROVABLE; OPEN never fails, nor does a repair that waits for a person.

    Raises:
        HoursNotProvedError: names each such hour, its counts, and where the evidence is.
    """
    bad = [line for line in lines if line.verdict in FAILING and not line.waits]
    if not bad:
        return
    sentences = [
        f"{line.stream} {line.hour} is {line.verdict}: {line.reason} (missing {line.missing}, excess {line.excess}, "
        f"mismatched {line.mismatched})"
        for line in bad
    ]
    raise HoursNotProvedError(
        "; ".join(sentences)
        + ". Every differing window is in the table differences, the judgement in verdicts, by stream and hour."
    )
