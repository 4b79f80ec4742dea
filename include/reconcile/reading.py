"""Reads offset ranges of a topic with Spark, and tells which segment each record lies in."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from include.reconcile.types import OffsetRange, Segment
from include.settings import Settings
from include.topics.offsets import FETCH_OPTIONS


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
