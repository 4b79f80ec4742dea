"""Which of several copies of an event counts in figures where each identity counts once.

The winner among copies of an identity within its event hour is the one with the lowest (Kafka
timestamp, partition, offset).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from include.contracts import Contract

HOUR_US = 3_600_000_000


def with_winners(records: DataFrame, contract: Contract, hours: Sequence[int]) -> DataFrame:
    """Add hour, wanted (its hour is asked for), late, anonymous and wins; keep only what cubes need.

    A record that is no event, or that has nothing of an identity, is its own identity.
    """
    hour = ((F.col("time_us") - F.pmod(F.col("time_us"), F.lit(HOUR_US))) / 1_000_000).cast("long")
    wanted = F.col("hour").isin(*hours) if hours else F.lit(False)
    timed = records.withColumn("hour", hour).withColumns(
        {
            "wanted": F.coalesce(wanted, F.lit(False)),
            "late": F.coalesce(F.col("kafka_us") - F.col("time_us") > F.col("lateness_us"), F.lit(False)),
            "anonymous": F.col("hour").isNotNull() & _nothing_of(contract),
        }
    )
    own = F.when(~F.col("wanted") | F.col("anonymous"), F.col("partition") * F.lit(2**48) + F.col("offset"))
    identity = [f"field_{name}" for name in contract.identity]
    spread = F.xxhash64("hour", *identity, own)  # sorts by one number first, which is much faster
    copies = Window.partitionBy(spread, "hour", *identity, own).orderBy("kafka_us", "partition", "offset")
    wins = F.row_number().over(copies) == 1 if identity else F.lit(True)
    unused = {f"field_{name}" for name in contract.fields} - {f"field_{name}" for name in _used(contract)}
    return timed.withColumn("wins", wins).drop("lateness_us", *sorted(unused))


def _nothing_of(contract: Contract) -> Column:
    absent = [
        F.col(f"field_{name}").isNull() if contract.fields[name].is_number else F.col(f"field_{name}") == ""
        for name in contract.identity
    ]
    return reduce(Column.__and__, absent, F.lit(True))


def _used(contract: Contract) -> set[str]:
    """Return the fields that the cubes need."""
    names = {name for cube in contract.cubes for name in cube.dimensions}
    for item in (item for cube in contract.cubes for item in cube.measures):
        names |= {item.field or "", item.where.field if item.where else ""}
    return names & set(contract.fields)
