"""Which of several copies of an event counts in figures where each identity counts once, and which identities recur.

The winner among copies of an identity within its event hour is the one with the lowest (Kafka
timestamp, partition, offset). The same identity in another hour is another event; that it was seen
there among the same records is told, and changes no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from include.contracts import Contract

HOUR_US = 3_600_000_000
EVERY_ROW = (Window.unboundedPreceding, Window.unboundedFollowing)


def with_winners(records: DataFrame, contract: Contract, hours: Sequence[int]) -> DataFrame:
    """Add hour, wanted (its hour is asked for), late, anonymous, wins and id_reused; keep only what cubes need.

    id_reused: it wins, and its identity is also an event of another hour among these records. A record that is no
    event, or that has nothing of an identity, is its own identity.
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
    unused = {f"field_{name}" for name in contract.fields} - {f"field_{name}" for name in _used(contract)}
    return _by_identity(timed, contract).drop("lateness_us", *sorted(unused))


def _by_identity(timed: DataFrame, contract: Contract) -> DataFrame:
    """Add wins and id_reused by one shuffle and one sort: whole identities lie together, and in them hour by hour."""
    if not contract.identity:
        return timed.withColumns({"wins": F.lit(True), "id_reused": F.lit(False)})
    identity = [f"field_{name}" for name in contract.identity]
    alone = F.col("hour").isNull() | F.col("anonymous")
    keyed = timed.withColumn("own", F.when(alone, F.col("partition") * F.lit(2**48) + F.col("offset")))
    keyed = keyed.withColumn("spread", F.xxhash64(*identity, "own"))  # sorting by one number is much faster
    same = ("spread", *identity, "own")
    order = ("kafka_us", "partition", "offset")
    whole = Window.partitionBy(*same).orderBy("hour", *order).rowsBetween(*EVERY_ROW)
    copies = Window.partitionBy(*same, "hour").orderBy(*order)
    several = F.coalesce(F.min("hour").over(whole) < F.max("hour").over(whole), F.lit(False))
    seen = keyed.withColumn("several", several).withColumn("wins", F.row_number().over(copies) == 1)
    return seen.withColumn("id_reused", F.col("wins") & F.col("several")).drop("own", "spread", "several")


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
