"""The shape of a contract, and the rules that a contract itself must obey.

Owns: what a stream's YAML may say. Leaves to others: reading the file (load.py), judging
records by it (classifier.py), tables (include/warehouse), topics (include/topics).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

EXACT_INTEGERS = 2**53  # doubles hold every integer below this
MAX_BATCH_OFFSETS = 2**20  # a batch's sums are kept in 64 bits
RETENTION_BEYOND_MAXIMUM_AGE_HOURS = 48
CUBE_COLUMNS = ("window_start", "batch", "frontier", "seal")  # every cube's tables have them


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
    encoding: Literal["iso8601_utc"]


class FieldRule(_Part):
    """What a field must be. Numbers are kept as integers, rint(x * 10**scale)."""

    type: Literal["string", "number"]
    min_length: int | None = Field(None, ge=0)
    allowed: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    scale: int | None = Field(None, ge=0, le=9)
    required: Literal[True] = True

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "number":
            if self.minimum is None or self.maximum is None or self.scale is None:
                raise ValueError("a number needs minimum, maximum and scale")
            if self.min_length is not None or self.allowed is not None:
                raise ValueError("a number has no min_length and no allowed")
            if self.minimum > self.maximum:
                raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
            largest = max(abs(self.minimum), abs(self.maximum)) * 10**self.scale
            if largest * MAX_BATCH_OFFSETS >= 2**63:
                raise ValueError(
                    f"bounds {self.minimum} to {self.maximum} at scale {self.scale}: a batch of "
                    f"{MAX_BATCH_OFFSETS} records could overflow a sum of 64 bits"
                )
            if largest >= EXACT_INTEGERS:
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


class Measure(_Part):
    """A figure of a cube and how two partial figures merge; count and sum are added."""

    name: Identifier
    kind: Literal["count", "sum"]
    field: Identifier | None = None

    @property
    def clickhouse_type(self) -> str:
        """Column type; sums are Decimal because ClickHouse's integer sums wrap silently."""
        return {"count": "UInt64", "sum": "Decimal(38, 0)"}[self.kind]


class Cube(_Part):
    """Figures for each pane and combination of dimensions."""

    name: Identifier
    pane_seconds: int = Field(ge=1, le=3600)
    dimensions: tuple[Identifier, ...] = Field(min_length=1)
    measures: tuple[Measure, ...] = Field(min_length=1)

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
    event_time: EventTime
    identity: tuple[Identifier, ...]
    lateness_seconds: int = Field(ge=0, le=86_400)
    skew_seconds: int = Field(ge=0, le=3_600)
    maximum_age_hours: int = Field(ge=1, le=24 * 365)
    fields: dict[Identifier, FieldRule]
    rules: tuple[Rule, ...] = ()
    cubes: tuple[Cube, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_known_fields(self) -> Self:
        named: list[tuple[str, tuple[int | str, ...]]] = [(self.event_time.field, ("event_time", "field"))]
        named += [(name, ("identity", i)) for i, name in enumerate(self.identity)]
        for i, rule in enumerate(self.rules):
            named += [
                (rule.field, ("rules", i, "field")),
                *((name, ("rules", i, "when")) for name in rule.when),
            ]
        for i, cube in enumerate(self.cubes):
            named += [(name, ("cubes", i, "dimensions", k)) for k, name in enumerate(cube.dimensions)]
            named += [
                (m.field, ("cubes", i, "measures", k, "field"))
                for k, m in enumerate(cube.measures)
                if m.field
            ]
        for name, place in named:
            if name not in self.fields:
                raise FaultError(f"names the field {name!r}, which is not among fields", *place)
        return self

    @model_validator(mode="after")
    def _uses_fields_by_their_type(self) -> Self:
        numbers = {name for name, rule in self.fields.items() if rule.type == "number"}
        strings = set(self.fields) - numbers
        if self.event_time.field not in strings:
            raise FaultError("an event time in iso8601_utc is a string", "event_time", "field")
        for i, rule in enumerate(self.rules):
            if rule.field not in numbers or not set(rule.when) <= strings:
                raise FaultError(
                    f"a rule bounds a number where strings have values; got {rule.field!r}", "rules", i
                )
        for i, cube in enumerate(self.cubes):
            if not set(cube.dimensions) <= strings:
                raise FaultError("dimensions are strings", "cubes", i, "dimensions")
            for k, measure in enumerate(cube.measures):
                place = ("cubes", i, "measures", k)
                if (measure.kind == "count") != (measure.field is None):
                    raise FaultError("a count has no field, every other kind has one", *place)
                if measure.field is not None and measure.field not in numbers:
                    raise FaultError(f"{measure.field!r} is not a number", *place, "field")
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
