"""The folded stretch of a ledger: what old batches add up to, so that nobody reads them each hour and minute.

compact_warehouse makes it from the ledger, holds it against the ledger each day, and makes it anew where they differ
(include/compact/folds.py). It is a cache: one that is gone, incomplete or out of date is no stretch, and then every
row is read. It can stand for the rows since none comes or changes in it: its batches were committed days ago, lie
below the stream's highest valid one, and batches of a generation are committed in order. What a later takeover leaves
out shows in the limits; mend.py, which alone writes rows under old batch ids, forgets the stretch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.warehouse.sql import read_sql


@dataclass(frozen=True)
class Stretch:
    """The batches [low, high) of a ledger, whole pieces of 2 ** bits batches, folded; empty when nothing is.

    keep: generation -> its highest valid batch in the stretch; frontier: Kafka partition -> highest end offset;
    hours: event hour -> highest valid batch that lists it, replayed dead letters included. pieces: rows of
    folded_pieces that belong to it. age: seconds since it was held against its rows.
    """

    version: int = 0
    bits: int = 0
    low: int = 0
    high: int = 0
    pieces: int = 0
    keep: Mapping[int, int] = field(default_factory=dict)
    frontier: Mapping[int, int] = field(default_factory=dict)
    hours: Mapping[datetime, int] = field(default_factory=dict)
    age: int = field(default=0, compare=False)

    @property
    def bounds(self) -> dict[str, int]:
        """The parameters by which a query leaves the stretch out, or reads nothing else."""
        return {"low": self.low, "high": self.high}


NOTHING = Stretch()


def read_stretch(client: Client, stream: str, keep: Mapping[int, int]) -> Stretch:
    """Return the stretch in force under these limits (generation -> highest valid batch): NOTHING if they void a
    batch of it, or if the ledger has no valid row above it, as it always has unless rows were lost."""
    found = client.execute(read_sql("life_cycle/stretch.sql"), {"stream": stream})
    if not found:
        return NOTHING
    version, bits, low, high, pieces, generations, batches, partitions, ends, hours, hour_batches, age = (
        found[0]
    )
    stretch = Stretch(
        *(version, bits, low, high, pieces),
        keep=dict(zip(generations, batches, strict=True)),
        frontier=dict(zip(partitions, ends, strict=True)),
        hours={h.replace(tzinfo=UTC): b for h, b in zip(hours, hour_batches, strict=True)},
        age=age,
    )
    if not keep or any(batch > keep.get(generation, -1) for generation, batch in stretch.keep.items()):
        return NOTHING
    above = {"stream": stream, "high": high, "generations": list(keep), "limits": list(keep.values())}
    return stretch if client.execute(read_sql("life_cycle/any_from.sql.j2"), above)[0][0] else NOTHING


def forget_stretch(client: Client, stream: str, batches: Collection[int]) -> None:
    """Empty what is folded of a stream if one of these batches, whose rows change, is below its end."""
    found = client.execute(read_sql("life_cycle/stretch.sql"), {"stream": stream})
    if found and min(batches, default=found[0][3]) < found[0][3]:
        for table in ("folded_stretches", "folded_pieces"):
            client.execute(read_sql("life_cycle/forget_folds.sql.j2", table=table), {"stream": stream})
