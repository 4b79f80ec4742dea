"""What a cube makes of an event, as Spark columns: its window, its dimensions, and how its measures add up.

Events come with time_us, kafka_us, partition, offset, late, wins, and field_<name>: text ('' where absent) or an
integer at the field's scale (null where absent).
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from include.contracts import Contract, Cube, FieldRule, Measure
from include.contracts.model import NO_MAXIMUM, NO_MINIMUM, Condition

MOST_RECORDS = 10**9  # of one cell in one run
LAST_SECOND = 2**32 - 1  # of a ClickHouse DateTime


class UnknownMeasureKindError(ValueError):
    """A contract has a measure kind or a dimension that the recount cannot compute."""


def window_start(cube: Cube) -> Column:
    """Return the start of the pane of event time, in epoch seconds."""
    return _floor(F.col("time_us"), cube.pane_seconds * 1_000_000, 1_000_000)


def dimension(contract: Contract, cube: Cube, name: str) -> Column:
    """Return a dimension of a cube: a field's text, or what follows from the record and its place.

    Raises:
        UnknownMeasureKindError: it is neither.
    """
    if name in contract.fields:
        return F.col(f"field_{name}")
    if name == "arrived":
        within = F.greatest(F.lit(0), F.least(F.col("kafka_us"), F.lit(LAST_SECOND * 1_000_000)))
        return _floor(within, (cube.arrival_seconds or 1) * 1_000_000, 1_000_000)
    if name == "delay_ms":
        return _delay_bin()
    places = {"event_us": "time_us", "kafka_partition": "partition", "record_offset": "offset"}
    if name not in places:
        raise UnknownMeasureKindError(f"dimension {name!r} of cube {cube.name} is not known to the recount")
    return F.col(places[name]).cast("long")


def figure(contract: Contract, item: Measure, taken: Column) -> Column:
    """Return a measure over the records that are taken; it is never null.

    Raises:
        UnknownMeasureKindError: the recount cannot compute it.
    """
    if item.where is not None:
        return F.count_if(taken & _meets(item.where))
    if item.kind == "count":
        return F.count_if(taken & _holds(contract, item.field))
    value = F.when(taken, _number(item))
    if item.kind == "min":
        return F.coalesce(F.min(value), F.lit(NO_MINIMUM))
    if item.kind == "max":
        return F.coalesce(F.max(value), F.lit(NO_MAXIMUM))
    if item.kind in ("sum", "sumsq") and item.field in contract.fields:
        return _sum(contract, item, contract.fields[item.field], value)
    raise UnknownMeasureKindError(
        f"measure {item.name!r} is of kind {item.kind!r}, which the recount does not know"
    )


def _sum(contract: Contract, item: Measure, rule: FieldRule, value: Column) -> Column:
    unit = 10 ** ((rule.scale or 0) - contract.scale_of(item))
    if unit > 1:  # exact: figures are below 2^53, so no quotient is rounded onto a half
        value = F.rint(value / F.lit(float(unit))).cast("long")
    largest = rule.largest / unit
    if item.kind == "sumsq":
        value, largest = value * value, largest * largest
    kind = "long" if largest * MOST_RECORDS < 2**63 else "decimal(38,0)"  # decimals are several times slower
    return F.coalesce(F.sum(value.cast(kind)), F.lit(0).cast(kind))


def _number(item: Measure) -> Column:
    derived = {"event_us": F.col("time_us"), "delay_us": F.col("kafka_us") - F.col("time_us")}
    return derived.get(item.field or "", F.col(f"field_{item.field}"))


def _holds(contract: Contract, field: str | None) -> Column:
    if field is None:
        return F.lit(True)
    held = F.col(f"field_{field}")
    return held.isNotNull() if contract.fields[field].is_number else held != ""


def _meets(condition: Condition) -> Column:
    field = F.col(f"field_{condition.field}")
    if condition.equals is not None:
        return field == condition.equals
    return field >= condition.at_least if condition.at_least is not None else field <= condition.at_most


def _delay_bin() -> Column:
    """Return the lower edge of a delay's bin in milliseconds: 1 ms wide below 1 s, then 10 * 2^k from 1000 * 2^k on."""
    delay_ms = _floor(F.greatest(F.lit(0), F.col("kafka_us") - F.col("time_us")), 1_000, 1_000)
    seconds = _floor(delay_ms, 1_000, 1_000)
    doublings = F.length(F.bin(seconds)) - 1
    width = F.lit(10) * F.pow(F.lit(2.0), doublings).cast("long")
    return F.when(delay_ms < 1_000, delay_ms).otherwise(delay_ms - F.pmod(delay_ms, width))


def _floor(value: Column, width: int, unit: int) -> Column:
    """Return the start of the interval of this width that holds a value, in units; exact below 2^53."""
    return ((value - F.pmod(value, F.lit(width))) / unit).cast("long")
