"""Whether the first ledger rows of a stream are missing, which no gap between rows would show. Pure.

A stream's first batch has a row for every partition, even for those of which it read nothing, and
is number 1 of its generation. A partition added later begins at offset 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.streaming.ledger import GENERATION_BITS, LedgerRow

NUMBER = (1 << GENERATION_BITS) - 1


def suspects(rows: Sequence[LedgerRow]) -> list[int]:
    """Return the partitions whose first row is not of the stream's first batch, so that one may be missing."""
    driven = [row.batch for row in rows if row.batch & NUMBER]
    first = min(driven, default=0)
    recorded = {row.partition for row in rows if row.batch == first and first & NUMBER == 1}
    return sorted({row.partition for row in rows} - recorded)


def missing_beginnings(
    rows: Sequence[LedgerRow], starts: Mapping[int, int]
) -> tuple[dict[int, int], list[str]]:
    """Return where partitions began whose first rows are missing, and a sentence for each where that is unknown.

    starts: log start offsets. It is known where all that the first batch did record began at the log's start.
    """
    first = min((row.batch for row in rows if row.batch & NUMBER), default=0)
    recorded = [row for row in rows if row.batch == first and first & NUMBER == 1]
    from_start = bool(recorded) and all(row.start_offset <= starts.get(row.partition, 0) for row in recorded)
    begins, unknown = {}, []
    for partition in suspects(rows):
        begin = min(row.start_offset for row in rows if row.partition == partition)
        start = starts.get(partition, begin)
        if start >= begin:
            continue
        if from_start:
            begins[partition] = start
        else:
            unknown.append(
                f"ledger gap in partition {partition} before offset {begin}: the rows of the stream's first batch are "
                "missing, and where it began is not known"
            )
    return begins, unknown
