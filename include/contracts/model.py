"""The shape of a contract, and the rules that a contract itself must obey.

Owns: what a stream's YAML may say. Leaves to others: reading the file (load.py), judging
records by it (classifier.py), tables (include/warehouse), topics (include/topics).
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

EXACT_INTEGERS = 2**53  # doubles hold every integer below this
MAX_BATCH_OFFSETS = 2**20  # a batch's sums are kept in 64 bits
RETENTION_BEYOND_MAXIMUM_AGE_HOURS = 48
CUBE_COLUMNS = ("window_start", "batch", "frontier", "seal")  # every cube's tables have them
# Of a cell without a value: what a minimum and a maximum begin with, so that merging needs no nulls.
NO_MINIMUM, NO_MAXIMUM = 2**63 - 1, -(2**63)
# Dimensions that follow from a record and its place in the log instead of a field. arrived: start of the window of
# Kafka time, `arrival_seconds` wide. delay_ms: lower edge of the bin of (Kafka time - event time), see times.delay_bin.
DERIVED_DIMENSIONS = {
    "arrived": "DateTime('UTC')",
    "delay_ms": "UInt64",
    "event_us": "Int64",
    "kafka_partition": "UInt32",
    "record_offset": "UInt64",
}
# Numbers that follow from a record instead of a field, for min and max: event time in epoch microseconds, and
# Kafka time - event time in microseconds.
DERIVED_NUMBERS = ("event_us", "delay_us")
JSON = "json"
LINE_FIELDS = ("ip_address", "user_id", "service", "status_code", "level")  # what an access-log line yields


class FaultError(ValueError):
    """A fault that only the whole contract shows; `place` is the path of the part that holds it."""

    def __init__(self, message: str, *place: int | str) -> None:
        super().__init__(message)
        self.place = place


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Topic(_Part):
    """A Kafka topic; config values are compared with the broker's as text."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,200}$")]
    partitions: int = Field(ge=1, le=10_000)
    config: dict[str, str] = Field(default_factory=dict)

    @field_validator("config", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: str(item) for key, item in value.items()}
        return value


class EventTime(_Part):
    """Which field holds the event time, and how it is written."""

    field: Identifier
    encoding: Literal["iso8601_utc", "epoch_ms"]


class FieldRule(_Part):
    """What a field must be. Numbers are kept as integers, rint(x * 10**scale); the scale of an integer is 0.

    An optional field is absent where its name is missing, its value is null, or its text is empty.
    """

    type: Literal["string", "number", "integer"]
    required: bool = True
    format: Literal["ip"] | None = None
    min_length: int | None = Field(None, ge=0)
    allowed: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    scale: int | None = Field(None, ge=0, le=9)

    @property
    def is_number(self) -> bool:
        """Whether its figure is an integer at a scale; else it is text."""
        return self.type != "string"

    @property
    def largest(self) -> float:
        """The largest magnitude of a number's figure, at its scale."""
        return max(abs(self.minimum or 0), abs(self.maximum or 0)) * 10 ** float(self.scale or 0)

    @model_validator(mode="before")
    @classmethod
    def _integers_have_no_scale(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("type") == "integer":
            if data.get("scale") not in (None, 0):
                raise ValueError("an integer has no scale")
            return data | {"scale": 0}
        return data

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.is_number:
            if self.minimum is None or self.maximum is None or self.scale is None:
                needs = "minimum, maximum and scale" if self.type == "number" else "minimum and maximum"
                raise ValueError(f"a number needs {needs}")
            if self.min_length is not None or self.allowed is not None or self.format is not None:
                raise ValueError("a number has no min_length, no allowed and no format")
            if self.minimum > self.maximum:
                raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
            if self.largest * MAX_BATCH_OFFSETS >= 2**63:
                raise ValueError(
                    f"bounds {self.minimum} to {self.maximum} at scale {self.scale}: a batch of "
                    f"{MAX_BATCH_OFFSETS} records could overflow a sum of 64 bits"
                )
            if self.largest >= EXACT_INTEGERS:
                raise ValueError(
                    f"bounds {self.minimum} to {self.maximum} at scale {self.scale} reach 2^53: "
                    "figures would not be exact"
                )
        elif (self.minimum, self.maximum, self.scale) != (None, None, None):
            raise ValueError("a string has no minimum, maximum or scale")
        return self


class Rule(_Part):
    """A bound on a number that holds where other fields have given values; integers at the field's scale."""

    field: Identifier
    when: dict[Identifier, str]
    equals: int | None = None
    above: int | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.equals is None) == (self.above is None):
            raise ValueError("a rule has either equals or above")
        return self


class Condition(_Part):
    """Which records a count takes: those that hold the field and keep one bound; integers at the field's scale."""

    field: Identifier
    equals: int | None = None
    at_least: int | None = None
    at_most: int | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if [self.equals, self.at_least, self.at_most].count(None) != 2:
            raise ValueError("a condition has one of equals, at_least and at_most")
        return self


class Measure(_Part):
    """A figure of a cube and how two partial figures merge: count, sum and sumsq are added.

    A record without the field adds nothing. `count` alone counts records; with a field, those that hold it; with
    `where`, those that it takes. `scale` of a sum or sumsq is coarser than the field's: each figure is rounded to it
    first, half to even. A cell of which no record holds the field has NO_MINIMUM and NO_MAXIMUM.
    """

    name: Identifier
    kind: Literal["count", "sum", "sumsq", "min", "max"]
    field: Identifier | None = None
    scale: int | None = Field(None, ge=0, le=9)
    where: Condition | None = None

    @property
    def clickhouse_type(self) -> str:
        """Column type; sums are Decimal because ClickHouse's integer sums wrap silently."""
        added = "Decimal(38, 0)"
        return {"count": "UInt64", "sum": added, "sumsq": added, "min": "Int64", "max": "Int64"}[self.kind]

    @property
    def empty(self) -> int:
        """Its figure in a cell of which no record holds the field."""
        return {"min": NO_MINIMUM, "max": NO_MAXIMUM}.get(self.kind, 0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.where is not None and (self.kind != "count" or self.field is not None):
            raise ValueError("only a count without a field has a where")
        if self.scale is not None and self.kind not in ("sum", "sumsq"):
            raise ValueError("only a sum or sumsq has a scale")
        if self.kind != "count" and self.field is None:
            raise ValueError(f"a {self.kind} has a field")
        return self


class Cube(_Part):
    """Figures for each pane of event time and combination of dimensions.

    `only: late` takes late events alone. A cube by Kafka time has the dimension `arrived`; its pane is of event
    time all the same, since an hour of event time is what is proved.
    """

    name: Identifier
    pane_seconds: int = Field(ge=1, le=3600)
    arrival_seconds: int | None = Field(None, ge=1, le=3600)
    only: Literal["late"] | None = None
    dimensions: tuple[Identifier, ...] = Field(min_length=1)
    measures: tuple[Measure, ...] = Field(min_length=1)

    @property
    def plain_count(self) -> str | None:
        """Name of the measure that counts every event that the cube takes once, if there is one."""
        plain = (m.name for m in self.measures if m.kind == "count" and m.field is None and m.where is None)
        return next(plain, None)

    @property
    def counts_events(self) -> str | None:
        """Name of the measure that counts every event of the stream once, if there is one."""
        return None if self.only else self.plain_count

    @property
    def dimension_types(self) -> dict[str, str]:
        """ClickHouse's column type of each dimension; an absent optional text is the empty string."""
        return {name: DERIVED_DIMENSIONS.get(name, "String") for name in self.dimensions}

    @model_validator(mode="after")
    def _arrives_in_windows(self) -> Self:
        if ("arrived" in self.dimensions) != (self.arrival_seconds is not None):
            raise ValueError("the dimension arrived and arrival_seconds go together")
        return self

    @property
    def delta_table(self) -> str:
        """Table of partial figures by batch."""
        return f"{self.name}_delta"

    @property
    def sealed_table(self) -> str:
        """Table of exact figures by seal."""
        return f"{self.name}_sealed"

    @field_validator("pane_seconds")
    @classmethod
    def _divides_the_hour(cls, value: int) -> int:
        if 3600 % value:
            raise ValueError(f"a pane of {value} s does not divide an hour, which is what is sealed")
        return value


class Contract(_Part):
    """All that the platform knows of a stream. Durations carry their unit in the name."""

    stream: Identifier
    version: int = Field(ge=1)
    topic: Topic
    formats: tuple[Literal["json", "nginx_combined", "apache_common"], ...] = Field(("json",), min_length=1)
    event_time: EventTime
    identity: tuple[Identifier, ...]
    lateness_seconds: int = Field(ge=0, le=86_400)
    skew_seconds: int = Field(ge=0, le=3_600)
    maximum_age_hours: int = Field(ge=1, le=24 * 365)
    fields: dict[Identifier, FieldRule]
    rules: tuple[Rule, ...] = ()
    cubes: tuple[Cube, ...] = Field(min_length=1)

    @property
    def line_formats(self) -> tuple[str, ...]:
        """The access-log formats among its formats."""
        return tuple(name for name in self.formats if name != JSON)

    def scale_of(self, measure: Measure) -> int:
        """Return the scale of a measure's figure; counts have 0, derived microseconds 6."""
        if measure.kind == "count" or measure.field is None:
            return 0
        if measure.field not in self.fields:
            return 6
        own = self.fields[measure.field].scale or 0
        return own if measure.scale is None else measure.scale

    @model_validator(mode="after")
    def _names_known_fields(self) -> Self:
        for name, place in self._named_fields():
            if name not in self.fields:
                raise FaultError(f"names the field {name!r}, which is not among fields", *place)
        return self

    def _named_fields(self) -> Iterator[tuple[str, tuple[int | str, ...]]]:
        """Yield each field that some part names, with the place."""
        yield self.event_time.field, ("event_time", "field")
        yield from ((name, ("identity", i)) for i, name in enumerate(self.identity))
        for i, rule in enumerate(self.rules):
            yield rule.field, ("rules", i, "field")
            yield from ((name, ("rules", i, "when")) for name in rule.when)
        for i, cube in enumerate(self.cubes):
            for k, name in enumerate(cube.dimensions):
                if name not in DERIVED_DIMENSIONS:
                    yield name, ("cubes", i, "dimensions", k)
            for k, measure in enumerate(cube.measures):
                if measure.field is not None and measure.field not in DERIVED_NUMBERS:
                    yield measure.field, ("cubes", i, "measures", k, "field")
                if measure.where is not None:
                    yield measure.where.field, ("cubes", i, "measures", k, "where", "field")

    @model_validator(mode="after")
    def _takes_no_derived_name(self) -> Self:
        for name in self.fields:
            if name in DERIVED_DIMENSIONS or name in DERIVED_NUMBERS:
                raise FaultError(f"{name!r} is the name of a derived figure", "fields", name)
        return self

    @model_validator(mode="after")
    def _uses_fields_by_their_type(self) -> Self:
        moment = self.fields[self.event_time.field]
        if not moment.required:
            raise FaultError("the event time is required", "event_time", "field")
        if (self.event_time.encoding == "iso8601_utc") != (moment.type == "string"):
            raise FaultError("an event time is a string in iso8601_utc, an integer in epoch_ms", "event_time")
        if moment.type == "number":
            raise FaultError("an event time in epoch_ms is an integer", "event_time", "field")
        numbers = {name for name, rule in self.fields.items() if rule.is_number}
        always = {name for name, rule in self.fields.items() if rule.required}
        for i, rule in enumerate(self.rules):
            if rule.field not in numbers or set(rule.when) & numbers:
                raise FaultError(
                    f"a rule bounds a number where strings have values; got {rule.field!r}", "rules", i
                )
            if not {rule.field, *rule.when} <= always:
                raise FaultError("a rule names required fields", "rules", i)
        for i, cube in enumerate(self.cubes):
            if set(cube.dimensions) & numbers:
                raise FaultError("dimensions are strings", "cubes", i, "dimensions")
            for k, measure in enumerate(cube.measures):
                self._check_measure(measure, numbers, ("cubes", i, "measures", k))
        return self

    def _check_measure(self, measure: Measure, numbers: Set[str], place: tuple[int | str, ...]) -> None:
        if measure.where is not None and measure.where.field not in numbers:
            raise FaultError(f"{measure.where.field!r} is not a number", *place, "where", "field")
        if measure.field in DERIVED_NUMBERS:
            if measure.kind not in ("min", "max"):
                raise FaultError(f"{measure.field!r} has a minimum and a maximum only", *place, "kind")
            return
        if measure.kind != "count" and measure.field not in numbers:
            raise FaultError(f"{measure.field!r} is not a number", *place, "field")
        if measure.field is None or measure.kind == "count":
            return
        rule = self.fields[measure.field]
        coarser = (rule.scale or 0) - self.scale_of(measure)
        if coarser < 0:
            raise FaultError(f"the scale is finer than that of {measure.field!r}", *place, "scale")
        if measure.kind == "sumsq" and (rule.largest / 10**coarser) ** 2 * MAX_BATCH_OFFSETS >= 2**64:
            raise FaultError(
                f"squares of {measure.field!r} at scale {self.scale_of(measure)}: a batch of "
                f"{MAX_BATCH_OFFSETS} records could overflow a sum of 64 bits",
                *place,
            )

    @model_validator(mode="after")
    def _reads_lines_into_fields(self) -> Self:
        if self.line_formats:
            for name in ("service", "status_code"):
                if name not in self.fields:
                    raise FaultError(f"{self.line_formats[0]} lines need the field {name!r}", "formats")
            for name in LINE_FIELDS:
                needed = "integer" if name == "status_code" else "string"
                if name in self.fields and self.fields[name].type != needed:
                    raise FaultError(f"a line has it as {needed}", "fields", name, "type")
            for name, rule in self.fields.items():
                if rule.required and name not in (*LINE_FIELDS, self.event_time.field):
                    raise FaultError(
                        f"{name!r} is required, and no {self.line_formats[0]} line has it", "formats"
                    )
        return self

    @model_validator(mode="after")
    def _names_each_column_once(self) -> Self:
        for i, cube in enumerate(self.cubes):
            columns = [*CUBE_COLUMNS, *cube.dimensions]
            columns += [name for m in cube.measures for name in (m.name, f"came_{m.name}")]
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if twice:
                raise FaultError(f"its tables would hold the column {twice[0]!r} twice", "cubes", i)
        names = [cube.name for cube in self.cubes]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise FaultError(f"the name {name!r} is taken by another cube", "cubes", i, "name")
        return self

    @model_validator(mode="after")
    def _keeps_raw_records_long_enough(self) -> Self:
        retention = int(self.topic.config.get("retention.ms", "604800000"))
        needed = (self.maximum_age_hours + RETENTION_BEYOND_MAXIMUM_AGE_HOURS) * 3_600_000
        if 0 <= retention < needed:
            raise FaultError(
                f"retention.ms {retention} is below maximum_age_hours + {RETENTION_BEYOND_MAXIMUM_AGE_HOURS} h "
                f"({needed} ms): a late record could expire before its hour is proved",
                *("topic", "config", "retention.ms"),
            )
        return self
