"""Reads offset ranges with Spark and aggregates them in one pass: figures as they came and once.

The winner among copies of an identity within its event hour is the one with the lowest (Kafka
timestamp, partition, offset). Nothing here knows verdicts or ClickHouse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from include.contracts import Contract, Cube, Measure
from include.contracts.model import FieldRule
from include.reconcile.by_version import REPLAYED, judged
from include.reconcile.types import OffsetRange, Segment
from include.settings import Settings
from include.topics.offsets import FETCH_OPTIONS

HOUR_US = 3_600_000_000
MOST_RECORDS = 10**9  # of one cell in one run


class UnknownMeasureKindError(ValueError):
    """A contract has a measure kind that the recount cannot compute."""


@dataclass(frozen=True)
class Cell:
    """Figures of one cube, window and dimensions, over all segments; figures are integers at their scale."""

    cube: str
    hour: int
    window: int
    dimensions: tuple[str, ...]
    once: tuple[int, ...]
    came: tuple[int, ...]


@dataclass(frozen=True)
class SegmentCount:
    """Records of a segment with the same outcome; hour is None for rejects, reason None for events.

    replayed: they are dead letters that a later batch folded, judged under that batch's contract version.
    """

    segment: int
    reason: str | None
    hour: int | None
    records: int
    once: int
    late: int
    replayed: bool = False


@dataclass(frozen=True)
class Measurement:
    """What was read: counts of each segment, and cells of every event hour that was asked for."""

    counts: list[SegmentCount]
    cells: list[Cell]


def read_ranges(
    spark: SparkSession, settings: Settings, topic: str, reads: Sequence[OffsetRange]
) -> DataFrame:
    """Return (partition, offset, value, kafka_us) of the committed records in these ranges, disjoint and sorted.

    Spark takes one range a partition and read, so the n-th ranges of all partitions make the n-th read.
    """
    rounds: list[dict[int, OffsetRange]] = []
    for item in reads:
        free = next((found for found in rounds if item.partition not in found), None)
        if free is None:
            rounds.append(free := {})
        free[item.partition] = item
    frames = [_read_round(spark, settings, topic, found) for found in rounds]
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionAll(frame)
    return whole


def _read_round(
    spark: SparkSession, settings: Settings, topic: str, found: dict[int, OffsetRange]
) -> DataFrame:
    def offsets(values: dict[int, int]) -> str:
        return json.dumps({topic: {str(partition): offset for partition, offset in values.items()}})

    return (
        spark.read.format("kafka")
        .options(
            **{
                "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
                "kafka.isolation.level": "read_committed",
                "assign": json.dumps({topic: sorted(found)}),
                "startingOffsets": offsets({p: item.start for p, item in found.items()}),
                "endingOffsets": offsets({p: item.end for p, item in found.items()}),
                "failOnDataLoss": "true",
                **FETCH_OPTIONS,
            }
        )
        .load()
        .select("partition", "offset", "value", F.unix_micros("timestamp").alias("kafka_us"))
    )


def segment_index(segments: Sequence[Segment]) -> Column:
    """Return the index of a record's segment, -1 outside all; segments are disjoint and sorted."""

    def search(low: int, high: int) -> Column:
        if high - low == 1:
            item = segments[low].range
            inside = (
                (F.col("partition") == item.partition)
                & (F.col("offset") >= item.start)
                & (F.col("offset") < item.end)
            )
            return F.when(inside, F.lit(low)).otherwise(F.lit(-1))
        middle = (low + high) // 2
        first = segments[middle].range
        before = (F.col("partition") < first.partition) | (
            (F.col("partition") == first.partition) & (F.col("offset") < first.start)
        )
        return F.when(before, search(low, middle)).otherwise(search(middle, high))

    return search(0, len(segments)) if segments else F.lit(-1)


def measure(
    records: DataFrame,
    contract: Contract,
    segments: Sequence[Segment],
    hours: Sequence[int],
    versions: Mapping[int, Contract] | None = None,
) -> Measurement:
    """Classify and aggregate (partition, offset, value, kafka_us) by the contract's cubes; hours are epoch seconds.

    versions: by number, the contracts under which the records of segments of other versions are judged.

    Raises:
        UnknownMeasureKindError: the contract has a measure that the recount cannot compute.
    """
    numbered = records.withColumn("segment", segment_index(segments)).where("segment >= 0")
    events = _with_winners(judged(numbered, contract, segments, versions or {}), contract, hours)
    if len(contract.cubes) > 1:
        events = events.persist()
    try:
        counts: dict[tuple[int, str | None, int | None, bool], list[int]] = {}
        cells: list[Cell] = []
        for number, cube in enumerate(contract.cubes):
            merged: dict[tuple[int, int, tuple[str, ...]], Cell] = {}
            for row in _aggregate(events, contract, cube).collect():
                if number == 0:
                    replayed = REPLAYED in row and row[REPLAYED]
                    key = (row["segment"], row["reason"], row["hour"], replayed)
                    found = counts.setdefault(key, [0, 0, 0])
                    for at, name in enumerate(("records", "records_once", "records_late")):
                        found[at] += row[name]
                if row["window"] is not None:
                    _merge(merged, cube, row)
            cells += merged.values()
    finally:
        events.unpersist()
    outcomes = [
        SegmentCount(segment, reason, hour, records, once, late, replayed)
        for (segment, reason, hour, replayed), (records, once, late) in counts.items()
    ]
    return Measurement(outcomes, cells)


def _with_winners(records: DataFrame, contract: Contract, hours: Sequence[int]) -> DataFrame:
    """Add hour, wanted (its hour is asked for), late and wins; a record that is no event is its own identity."""
    hour = ((F.col("time_us") - F.pmod(F.col("time_us"), F.lit(HOUR_US))) / 1_000_000).cast("long")
    timed = records.withColumn("hour", hour)
    wanted = F.col("hour").isin(*hours) if hours else F.lit(False)
    timed = timed.withColumns(
        {
            "wanted": F.coalesce(wanted, F.lit(False)),
            "late": F.coalesce(F.col("kafka_us") - F.col("time_us") > F.col("lateness_us"), F.lit(False)),
        }
    )
    if not contract.identity:
        return timed.withColumn("wins", F.lit(True))
    own = F.when(~F.col("wanted"), F.col("partition") * F.lit(2**48) + F.col("offset"))
    identity = [f"field_{name}" for name in contract.identity]
    spread = F.xxhash64("hour", *identity, own)  # sorts by one number first, which is much faster
    copies = Window.partitionBy(spread, "hour", *identity, own).orderBy("kafka_us", "partition", "offset")
    return timed.withColumn("wins", F.row_number().over(copies) == 1)


def _aggregate(events: DataFrame, contract: Contract, cube: Cube) -> DataFrame:
    pane_us = cube.pane_seconds * 1_000_000
    window = ((F.col("time_us") - F.pmod(F.col("time_us"), F.lit(pane_us))) / 1_000_000).cast("long")
    keyed = events.withColumns(
        {
            "window": F.when(F.col("wanted"), window),
            **{f"key_{name}": F.when(F.col("wanted"), F.col(f"field_{name}")) for name in cube.dimensions},
        }
    )
    figures = []
    for item in cube.measures:
        figures.append(_figure(contract, item, F.lit(True)).alias(f"came_{item.name}"))
        figures.append(_figure(contract, item, F.col("wins")).alias(f"once_{item.name}"))
    keys = ["segment", "reason", "hour", "window", *(f"key_{name}" for name in cube.dimensions)]
    keys += [REPLAYED] if REPLAYED in events.columns else []
    return keyed.groupBy(*keys).agg(
        F.count("*").alias("records"),
        F.count_if("wins").alias("records_once"),
        F.count_if("late").alias("records_late"),
        *figures,
    )


def _figure(contract: Contract, item: Measure, counts: Column) -> Column:
    if item.kind == "count":
        return F.count_if(counts)
    if item.kind == "sum" and item.field is not None:
        kind = "long" if _fits_a_long(contract.fields[item.field]) else "decimal(38,0)"
        return F.sum(F.when(counts, F.col(f"field_{item.field}")).otherwise(0).cast(kind))
    raise UnknownMeasureKindError(
        f"measure {item.name!r} is of kind {item.kind!r}, which the recount does not know"
    )


def _fits_a_long(rule: FieldRule) -> bool:
    """Whether MOST_RECORDS of the field's largest figure add up below 2^63; decimals are several times slower."""
    largest = max(abs(rule.minimum or 0), abs(rule.maximum or 0)) * 10 ** (rule.scale or 0)
    return bool(largest * MOST_RECORDS < 2**63)


def _merge(merged: dict[tuple[int, int, tuple[str, ...]], Cell], cube: Cube, row: Any) -> None:
    """Add a segment's part of a cell; counts and sums, the kinds there are, are added."""
    key = (row["hour"], row["window"], tuple(row[f"key_{name}"] for name in cube.dimensions))
    once = tuple(int(row[f"once_{item.name}"]) for item in cube.measures)
    came = tuple(int(row[f"came_{item.name}"]) for item in cube.measures)
    if key in merged:
        once = tuple(a + b for a, b in zip(merged[key].once, once, strict=True))
        came = tuple(a + b for a, b in zip(merged[key].came, came, strict=True))
    merged[key] = Cell(cube.name, *key, once, came)
