"""Classifies each record under the contract version that its ledger row carries, in columns of the loaded contract.

Where segments differ in version, Spark reads the ranges once for each version, which happens
only in runs that cover the hours of a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.contracts import Contract
from include.reconcile.classify import classified
from include.reconcile.types import Segment

REPLAYED = "replayed"
KEPT = ("segment", "partition", "offset", "kafka_us", "reason", "time_us", "lateness_us")


def judged(
    numbered: DataFrame, contract: Contract, segments: Sequence[Segment], versions: Mapping[int, Contract]
) -> DataFrame:
    """Return (segment, partition, offset, kafka_us, reason, time_us, lateness_us, field_<name> ...).

    numbered: (segment, partition, offset, value, kafka_us). versions: those that are not `contract`, by number.
    A field that a version lacks is absent from its records. Where segments list replayed records there is a column
    `replayed` besides, and those records are judged under the version of their replay.
    """
    groups: dict[int, list[int]] = {}
    for index, segment in enumerate(segments):
        version = segment.contract_version if segment.contract_version in versions else contract.version
        groups.setdefault(version, []).append(index)
    again = _replays(segments)
    if len(groups) <= 1 and not again:
        return _under(numbered, versions.get(next(iter(groups), contract.version), contract), contract)
    anew = reduce(Column.__or__, again.values(), F.lit(False))
    parts = [(v, F.col("segment").isin(indices) & ~anew, False) for v, indices in sorted(groups.items())]
    parts += [(version, again[version], True) for version in sorted(again)]
    frames = []
    for version, chosen, replayed in parts:
        frame = _under(numbered.where(chosen), versions.get(version, contract), contract)
        frames.append(frame.withColumn(REPLAYED, F.lit(replayed)) if again else frame)
    return reduce(DataFrame.unionByName, frames)


def _replays(segments: Sequence[Segment]) -> dict[int, Column]:
    """Return, by contract version, which records were replayed under it."""
    offsets: dict[int, dict[int, list[int]]] = {}
    for segment in segments:
        for item in segment.replayed:
            chosen = offsets.setdefault(item.contract_version, {})
            chosen.setdefault(segment.range.partition, []).append(item.offset)
    return {
        version: reduce(
            Column.__or__,
            ((F.col("partition") == p) & F.col("offset").isin(found) for p, found in chosen.items()),
        )
        for version, chosen in offsets.items()
    }


def _under(records: DataFrame, version: Contract, today: Contract) -> DataFrame:
    events = classified(records, version).withColumn(
        "lateness_us", F.lit(version.lateness_seconds * 1_000_000)
    )
    return events.select(*KEPT, *(_field(name, version, today) for name in today.fields))


def _field(name: str, version: Contract, today: Contract) -> Column:
    rule = version.fields.get(name)
    if rule is not None and rule.type == today.fields[name].type:
        return F.col(f"field_{name}")
    absent = F.lit(None).cast("long") if today.fields[name].is_number else F.lit("")
    return absent.alias(f"field_{name}")
