"""Whether an hour may have records below the offset at which its stream began, which nobody has read. Pure.

A stream begins above offset 0 where older records had expired or a launch named a later start. What lies below was
appended before the first commit, and by Kafka's time index before the first record that is as late as the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.streaming.ledger import LedgerRow


@dataclass(frozen=True)
class Beginning:
    """The first offset that a stream has read of a partition, above 0, and when that was committed."""

    partition: int
    offset: int
    committed_at: datetime

    def may_have_missed(
        self, hour: datetime, first: int | None, log: tuple[int, int], ahead: timedelta
    ) -> bool:
        """Say whether records of an hour may lie below.

        first: the partition's first offset whose Kafka time is at or past the hour's start less the stream's skew, None
        where there is none. log: the partition's offsets [start, end); an empty one tells nothing of what was in it.
        ahead: how far an event time may lie beyond the moment of its commit.
        """
        if hour > self.committed_at + ahead:
            return False
        start, end = log
        return first <= self.offset if first is not None else start >= end

    def text(self) -> str:
        """Return why an hour that may lie below is not proved."""
        return f"partition {self.partition}: offsets 0 to {self.offset} were never read, since the stream began there"


def first_rows(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Return the row that begins each partition, where that is above offset 0; it may span no offset."""
    found: dict[int, LedgerRow] = {}
    for row in rows:
        known = found.get(row.partition)
        if known is None or (row.start_offset, row.batch) < (known.start_offset, known.batch):
            found[row.partition] = row
    return [row for _, row in sorted(found.items()) if row.start_offset > 0]


def beginnings(rows: Iterable[LedgerRow], committed: Mapping[tuple[int, int], datetime]) -> list[Beginning]:
    """Return where partitions begin; committed: (batch, partition) -> when that row was committed."""
    return [
        Beginning(row.partition, row.start_offset, committed[row.batch, row.partition])
        for row in first_rows(rows)
    ]
