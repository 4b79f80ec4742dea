"""The plan of a traffic run: what a person may ask for, within which bounds.

Owns: parameters, bounds and the refusal of a wrong plan. Leaves to others: whether the stream
has a generator (include.traffic) and whether its topic can take the records (run.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

MAXIMUM_EVENTS = 5_000_000
LATE_FROM_SECONDS = 61
LATE_TO_SECONDS = 900
FUTURE_FROM_SECONDS = 120
FUTURE_TO_SECONDS = 7200
SHARES = ("malformed", "schema_breaking", "duplicate", "late", "future")


class PlanError(ValueError):
    """A traffic plan is out of bounds; names each parameter with the value given."""


class TrafficPlan(BaseModel):
    """What to send. Shares are parts of all records sent; the rest are plain events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str = Field("ad_events", description="Name of the stream, as in its contract.")
    rate: float = Field(82.0, gt=0, le=100_000, description="Records per second of event time.")
    duration: float = Field(60.0, ge=1, le=604_800, description="Length of the run in seconds of event time.")
    start: datetime | None = Field(
        None,
        description="Start of a past stretch to replay, ISO 8601, UTC when no offset; none is live, now.",
    )
    seed: int = Field(1, ge=0, lt=2**63, description="The same seed and plan give the same records.")
    malformed: float = Field(0.0, ge=0, le=0.5, description="Share that is not one whole JSON object.")
    schema_breaking: float = Field(0.0, ge=0, le=0.5, description="Share that breaks the contract.")
    duplicate: float = Field(0.0, ge=0, le=0.5, description="Share that repeats the id of an earlier event.")
    late: float = Field(
        0.0, ge=0, le=0.5, description="Share that arrives 61 s to 15 min after its event time."
    )
    future: float = Field(0.0, ge=0, le=0.5, description="Share dated 2 min to 2 h ahead of its arrival.")

    @field_validator("start", mode="before")
    @classmethod
    def _blank_is_live(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("start")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @model_validator(mode="after")
    def _fits(self) -> TrafficPlan:
        if self.events > MAXIMUM_EVENTS:
            raise ValueError(
                f"rate {self.rate:g}/s for duration {self.duration:g} s is {self.events:,} records; "
                f"a run sends at most {MAXIMUM_EVENTS:,}"
            )
        total = sum(getattr(self, name) for name in SHARES)
        if total > 0.9:
            raise ValueError(f"the shares {', '.join(SHARES)} add up to {total:g}; at most 0.9")
        if self.late and not self.live and self.duration < 2 * LATE_FROM_SECONDS:
            raise ValueError(
                f"late {self.late:g} needs a replay of at least {2 * LATE_FROM_SECONDS} s, since no event lies "
                f"before the first one; duration is {self.duration:g}"
            )
        return self

    @property
    def events(self) -> int:
        """Number of Kafka records of the run."""
        return max(1, round(self.rate * self.duration))

    @property
    def live(self) -> bool:
        """Whether the run is paced in real time from now."""
        return self.start is None

    @property
    def end(self) -> datetime | None:
        """End of the replayed stretch (exclusive), or none for a live run."""
        return None if self.start is None else self.start + timedelta(seconds=self.duration)


def parse_plan(values: Mapping[str, Any]) -> TrafficPlan:
    """Return the plan that `values` describe.

    Raises:
        PlanError: one line that names every refused parameter and its value.
    """
    try:
        return TrafficPlan.model_validate(dict(values))
    except ValidationError as error:
        raise PlanError("traffic plan refused: " + "; ".join(_reason(e) for e in error.errors())) from None


def _reason(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"{'.'.join(map(str, error['loc']))} = {error['input']!r}: {message}"
