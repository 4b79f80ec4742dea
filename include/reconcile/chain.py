"""Which valid ledger rows chain, and what must be written so that they do. Pure.

The rows of a partition chain when each begins where the one before ends. A range that no row
covers is a gap: it gets a row under the id of a missing batch. Where rows overlap, the one that
continues the chain counts, and of two that do, the one whose end another row continues, then the
lower batch. What is left of another row is cut to the offsets that nobody else covers, which are
none as a rule: such a row stays under its key and spans no offset. Overlaps between generations
never come here: takeover rows decide them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from include.reconcile.types import OffsetRange
from include.streaming.ledger import GENERATION_BITS, LedgerRow, is_valid

GAP, OVERLAP = "gap", "overlap"


@dataclass(frozen=True)
class ChainFault:
    """A ledger row that is to be written: batch `batch` is to cover exactly `span`.

    row is the row that is replaced, None where one is missing. batch is None where no id is free. version is the
    contract's under which its records were folded.
    """

    kind: str
    span: OffsetRange
    batch: int | None
    row: LedgerRow | None
    version: int
    finding: str


def chain_faults(
    rows: Mapping[int, Sequence[LedgerRow]],
    keep: Mapping[int, int],
    begins: Mapping[int, int] | None = None,
    taken: Mapping[int, Set[int]] | None = None,
) -> list[ChainFault]:
    """Return what is to be written for each gap and overlap of the valid rows, by partition.

    rows: by partition in offset order, those that span no offset left out; keep: generation -> highest valid batch;
    begins: where a partition began, if that is known to be before its first row; taken: by partition, batches whose rows
    span no offset and must stay.
    """
    found: list[ChainFault] = []
    for partition, ordered in rows.items():
        others = {row.batch for other, listed in rows.items() if other != partition for row in listed}
        start = (begins or {}).get(partition, ordered[0].start_offset)
        found += _Walk(partition, ordered, others, keep, (taken or {}).get(partition, set())).faults(start)
    return found


def free_batches(
    taken: Set[int], keep: Mapping[int, int], after: int, before: int, known: Set[int] = frozenset()
) -> list[int]:
    """Return valid ids that are not taken, the likeliest first: between two batches, those that others have
    before any other, then number 0 of a generation, which no driver ever uses."""
    between = sorted(batch for batch in known if after < batch < before)
    following = after + 1
    while following in taken:
        following += 1
    if following < before and is_valid(following, keep):
        between.append(following)
    zeros = sorted(generation << GENERATION_BITS for generation in keep)
    between += [zero for zero in zeros if after < zero < before] + zeros
    return [batch for batch in dict.fromkeys(between) if batch not in taken]


class _Walk:
    """Walks one partition from its first offset to its last."""

    def __init__(
        self,
        partition: int,
        rows: Sequence[LedgerRow],
        others: set[int],
        keep: Mapping[int, int],
        taken: Set[int],
    ) -> None:
        self._partition, self._others, self._keep = partition, others, keep
        self._left = dict(enumerate(rows))
        self._begins = [row.start_offset for row in rows]
        self._longest = max(row.end_offset - row.start_offset for row in rows)
        self._here: dict[int, list[int]] = defaultdict(list)
        for place, begin in enumerate(self._begins):
            self._here[begin].append(place)
        self._taken = {row.batch for row in rows} | taken
        self._starts = {row.start_offset for row in rows}
        self._last = max(row.end_offset for row in rows)
        self._found: list[ChainFault] = []

    def faults(self, start: int) -> list[ChainFault]:
        """Return the partition's faults from offset `start` on."""
        covered = start
        before: LedgerRow | None = None
        while covered < self._last:
            place = self._next(covered)
            if place is None:
                following = self._after(covered)
                assert following is not None  # or nothing would end behind what is covered
                self._gap(covered, before, following)
                covered = following.start_offset
                continue
            row = self._left.pop(place)
            end = row.end_offset
            if row.start_offset < covered:
                following = self._after(covered)
                end = min(end, following.start_offset) if following else end
            if row.start_offset < covered or self._is_rival(row):
                self._overlap(row, covered, end)
            before, covered = row, end
        for row in self._left.values():
            self._overlap(row, row.start_offset, row.start_offset)
        return self._found

    def _next(self, covered: int) -> int | None:
        """Return the place of the row that covers the next offset: one that begins there, else one that reaches over it."""
        left = self._left
        here = [place for place in self._here.get(covered, ()) if place in left]
        if here:
            return min(here, key=lambda place: (not self._is_continued(left[place]), left[place].batch))
        low, high = (bisect_right(self._begins, at) for at in (covered - self._longest, covered))
        over = [place for place in range(low, high) if place in left and left[place].end_offset > covered]
        return min(over, key=lambda place: left[place].batch) if over else None

    def _is_continued(self, row: LedgerRow) -> bool:
        return row.end_offset in self._starts or row.end_offset == self._last

    def _is_rival(self, row: LedgerRow) -> bool:
        """Whether another row that is left begins with this one, and nothing tells which of them is true.

        Then both are counted again from the log: the one that is kept may be the copy.
        """
        others = (place for place in self._here[row.start_offset] if place in self._left)
        return not self._is_continued(row) and next(others, None) is not None

    def _after(self, covered: int) -> LedgerRow | None:
        """Return the first row that is left and begins behind an offset."""
        places = range(bisect_right(self._begins, covered), len(self._begins))
        return next((self._left[place] for place in places if place in self._left), None)

    def _gap(self, start: int, before: LedgerRow | None, after: LedgerRow) -> None:
        low = before.batch if before else 0
        free = free_batches(self._taken, self._keep, low, after.batch, self._others)
        batch = free[0] if free else None
        self._taken |= {batch} if batch is not None else set()
        self._found.append(
            ChainFault(
                GAP,
                OffsetRange(self._partition, start, after.start_offset),
                batch,
                None,
                after.contract_version,
                f"ledger gap in partition {self._partition}, offsets {start} to {after.start_offset}, "
                f"between batches {low} and {after.batch}",
            )
        )

    def _overlap(self, row: LedgerRow, start: int, end: int) -> None:
        self._found.append(
            ChainFault(
                OVERLAP,
                OffsetRange(self._partition, start, end),
                row.batch,
                row,
                row.contract_version,
                f"ledger overlap in partition {self._partition}: batch {row.batch} lists offsets "
                f"{row.start_offset} to {row.end_offset}, of which others count all but {end - start}",
            )
        )
