"""Counts the records of each segment as they were read, before any of them is judged.

It knows offsets and nothing of values or contracts. The balance holds against it what the judgement
made of the records.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True, slots=True)
class Delivered:
    """Records of a segment that Kafka delivered; places: which ones, as `places` puts it."""

    segment: int
    records: int
    places: int


def delivered(numbered: DataFrame) -> list[Delivered]:
    """Count (segment, partition, offset, ...) by segment; segments that delivered nothing are absent."""
    found = numbered.groupBy("segment").agg(F.count("*").alias("records"), places().alias("places"))
    return [Delivered(**row.asDict()) for row in found.collect()]


def places() -> Column:
    """Return the exclusive or of a 64-bit hash of each record's partition and offset.

    Of two sets of records that are equally many it tells one from another in which a record is lost and another is
    there twice. It can be taken over parts, in any order.
    """
    return F.bit_xor(F.xxhash64("partition", "offset"))
