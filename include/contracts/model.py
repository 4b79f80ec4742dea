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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
        named = [("event_time", self.event_time.field), *(("identity", name) for name in self.identity)]
        for rule in self.rules:
            named += [("rules", rule.field), *(("rules", name) for name in rule.when)]
        for cube in self.cubes:
            named += [(f"cubes.{cube.name}.dimensions", name) for name in cube.dimensions]
            named += [(f"cubes.{cube.name}.measures", m.field) for m in cube.measures if m.field]
        for place, name in named:
            if name not in self.fields:
                raise ValueError(f"{place} names the field {name!r}, which is not among fields")
        return self

    @model_validator(mode="after")
    def _uses_fields_by_their_type(self) -> Self:
        numbers = {name for name, rule in self.fields.items() if rule.type == "number"}
        strings = set(self.fields) - numbers
        for rule in self.rules:
            if rule.field not in numbers or not set(rule.when) <= strings:
                raise ValueError(f"a rule bounds a number where strings have values; got {rule.field!r}")
        for cube in self.cubes:
            if not set(cube.dimensions) <= strings:
                raise ValueError(f"cube {cube.name!r}: dimensions are strings")
            for measure in cube.measures:
                if (measure.kind == "count") != (measure.field is None):
                    raise ValueError(
                        f"measure {measure.name!r}: a count has no field, every other kind has one"
                    )
                if measure.field is not None and measure.field not in numbers:
                    raise ValueError(f"measure {measure.name!r}: {measure.field!r} is not a number")
        return self

    @model_validator(mode="after")
    def _keeps_raw_records_long_enough(self) -> Self:
        retention = int(self.topic.config.get("retention.ms", "604800000"))
        needed = (self.maximum_age_hours + RETENTION_BEYOND_MAXIMUM_AGE_HOURS) * 3_600_000
        if 0 <= retention < needed:
            raise ValueError(
                f"retention.ms {retention} is below maximum_age_hours + {RETENTION_BEYOND_MAXIMUM_AGE_HOURS} h "
                f"({needed} ms): a late record could expire before its hour is proved"
            )
        return self
