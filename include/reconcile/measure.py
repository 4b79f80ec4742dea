"""Counts and aggregates the records that were read: figures as they came and once, in bounded pieces.

Nothing here knows verdicts or ClickHouse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract, Cube
from include.reconcile import cell_columns
from include.reconcile.by_version import REPLAYED, judged
from include.reconcile.delivered import Delivered, delivered, places
from include.reconcile.reading import segment_index
from include.reconcile.types import Segment
from include.reconcile.winners import with_winners

PIECE = 200_000  # about as many cells as the driver holds at once


@dataclass(frozen=True, slots=True)
class Cell:
    """Figures of one cube, window and dimensions, over all segments; figures are integers at their scale.

    Dimensions are texts or, where they are derived, integers; a window of arrival is in epoch seconds.
    """

    cube: str
    hour: int
    window: int
    dimensions: tuple[str | int, ...]
    once: tuple[int, ...]
    came: tuple[int, ...]


@dataclass(frozen=True)
class SegmentCount:
    """Records of a segment with the same outcome; hour is None for rejects, reason None for events.

    once: each identity once. without_identity: those among the records that have none, so that every copy counts.
    replayed: they are dead letters that a later batch folded, judged under that batch's contract version.
    id_reused: those of `once` whose identity was read as an event of another hour, too. places: which records they
    are, as in `delivered`.
    """

    segment: int
    reason: str | None
    hour: int | None
    records: int
    once: int
    late: int
    replayed: bool = False
    without_identity: int = 0
    id_reused: int = 0
    places: int = 0


@dataclass(frozen=True)
class Measurement:
    """What was read: records of each segment, what became of them, and cells of the event hours that were asked for."""

    delivered: list[Delivered]
    counts: list[SegmentCount]
    cells: list[Cell]


class Events:
    """The judged records of some segments, kept by Spark until `measured` ends."""

    def __init__(self, kept: DataFrame, contract: Contract, read: list[Delivered]) -> None:
        self._kept, self._contract, self.delivered = kept, contract, read
        self.counts = [_count(row) for row in _counted(kept).collect()]

    def cells(self, cube: Cube, hours: Sequence[int]) -> Iterator[Cell]:
        """Yield a cube's cells by window; the driver holds some PIECE of them, more only where one window has more.

        Raises:
            UnknownMeasureKindError: the cube has a measure or dimension that the recount cannot compute.
        """
        taken = sum(count.records for count in self.counts if count.hour in hours)
        found = _aggregate(self._kept, self._contract, cube)
        pieces = found.repartitionByRange(-(-taken // PIECE) or 1, "window").sortWithinPartitions("window")
        return (_cell(cube, row) for row in pieces.toLocalIterator())


@contextmanager
def measured(
    records: DataFrame,
    contract: Contract,
    segments: Sequence[Segment],
    hours: Sequence[int],
    versions: Mapping[int, Contract] | None = None,
) -> Iterator[Events]:
    """Judge (partition, offset, value, kafka_us) and count them; cells are of these hours, epoch seconds.

    versions: by number, the contracts under which the records of segments of other versions are judged. The log is
    read a second time for the count of what it delivers, which costs less than keeping the records of the first.
    """
    numbered = records.withColumn("segment", segment_index(segments)).where("segment >= 0")
    kept = with_winners(judged(numbered, contract, segments, versions or {}), contract, hours).persist()
    try:
        yield Events(kept, contract, delivered(numbered))
    finally:
        kept.unpersist()


def measure(
    records: DataFrame,
    contract: Contract,
    segments: Sequence[Segment],
    hours: Sequence[int],
    versions: Mapping[int, Contract] | None = None,
) -> Measurement:
    """Return all that `measured` finds at once.

    Raises:
        UnknownMeasureKindError: the contract has a measure that the recount cannot compute.
    """
    with measured(records, contract, segments, hours, versions) as events:
        cells = [cell for cube in contract.cubes for cell in events.cells(cube, hours)]
        return Measurement(events.delivered, events.counts, cells)


def _counted(events: DataFrame) -> DataFrame:
    keys = ["segment", "reason", "hour", *([REPLAYED] if REPLAYED in events.columns else [])]
    return events.groupBy(*keys).agg(
        F.count("*").alias("records"),
        F.count_if("wins").alias("once"),
        F.count_if("late").alias("late"),
        F.count_if("anonymous").alias("without_identity"),
        F.count_if("id_reused").alias("id_reused"),
        places().alias("places"),
    )


def _count(row: Any) -> SegmentCount:
    return SegmentCount(**{REPLAYED: False, **row.asDict()})


def _aggregate(events: DataFrame, contract: Contract, cube: Cube) -> DataFrame:
    taken = events.where("wanted AND late" if cube.only == "late" else "wanted")
    keys = {
        "window": cell_columns.window_start(cube),
        **{f"key_{name}": cell_columns.dimension(contract, cube, name) for name in cube.dimensions},
    }
    figures = []
    for item in cube.measures:
        figures.append(cell_columns.figure(contract, item, F.lit(True)).alias(f"came_{item.name}"))
        figures.append(cell_columns.figure(contract, item, F.col("wins")).alias(f"once_{item.name}"))
    return taken.withColumns(keys).groupBy("hour", *keys).agg(*figures)


def _cell(cube: Cube, row: Any) -> Cell:
    return Cell(
        cube.name,
        row["hour"],
        row["window"],
        tuple(row[f"key_{name}"] for name in cube.dimensions),
        tuple(int(row[f"once_{item.name}"]) for item in cube.measures),
        tuple(int(row[f"came_{item.name}"]) for item in cube.measures),
    )
