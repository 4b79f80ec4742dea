"""The plan of a traffic run: what a person may ask for, within which bounds.

Owns: parameters, bounds and the refusal of a wrong plan. Leaves to others: whether the stream
has a generator (include.traffic) and whether its topic can take the records (run.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from include.contracts import load_contract
from include.forms import faults
from include.traffic.shapes import Incident, shape_of

MAXIMUM_EVENTS = 5_000_000
MINUTE_SECONDS = 60
LATE_TO_SECONDS = 900  # or three times the stream's lateness, if that is longer
FUTURE_FROM_SECONDS = 120
FUTURE_TO_SECONDS = 7200
SHARES = ("malformed", "schema_breaking", "duplicate", "late", "future")


class PlanError(ValueError):
    """A traffic plan is out of bounds; names each parameter with the value given."""


class TrafficPlan(BaseModel):
    """What to send. Shares are parts of all records sent; the rest are plain events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str = Field("ad_events", description="Name of the stream, as in its contract.")
    rate: float = Field(
        0.0, gt=0, le=100_000, description="Records per second of event time; none is what is typical."
    )
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
        0.0, ge=0, le=0.5, description="Share that arrives later than its stream allows, up to 15 min."
    )
    future: float = Field(0.0, ge=0, le=0.5, description="Share dated 2 min to 2 h ahead of its arrival.")
    incident: str = Field("", description="What goes wrong in one minute of the run; empty: nothing.")

    @model_validator(mode="before")
    @classmethod
    def _typical_rate(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("rate") is None:
            return data | {"rate": shape_of(str(data.get("stream", "ad_events"))).rate}
        return data

    @field_validator("incident", mode="before")
    @classmethod
    def _none_is_calm(cls, value: object) -> object:
        return "" if value is None else value

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
        known = shape_of(self.stream).incidents
        if self.incident and self.incident not in known:
            raise ValueError(
                f"incident = {self.incident!r}: the stream {self.stream} has "
                + (f"only {', '.join(sorted(known))}" if known else "no incidents")
            )
        if self.late and not self.live and self.duration < 2 * self.late_from_seconds:
            raise ValueError(
                f"late {self.late:g} needs a replay of at least {2 * self.late_from_seconds} s, since no event lies "
                f"before the first one; duration is {self.duration:g}"
            )
        # A run that begins anywhere in a minute holds one whole minute less.
        needed = (self.calm_minutes + 2) * MINUTE_SECONDS
        if self.incident and self.duration < needed:
            raise ValueError(
                f"incident {self.incident} needs a run of at least {needed} s; duration is {self.duration:g}"
            )
        return self

    @property
    def lateness_seconds(self) -> int:
        """What the stream's contract allows."""
        return load_contract(self.stream).lateness_seconds

    @property
    def late_from_seconds(self) -> int:
        """The least delay of a late record."""
        return self.lateness_seconds + 1

    @property
    def late_to_seconds(self) -> int:
        """The longest delay of a late record."""
        return max(LATE_TO_SECONDS, 3 * self.lateness_seconds)

    @property
    def what_goes_wrong(self) -> Incident | None:
        """The incident of the run, if there is one."""
        return shape_of(self.stream).incidents.get(self.incident)

    @property
    def calm_minutes(self) -> int:
        """Whole minutes that come before the incident; in a replay no delayed event lies before the first."""
        incident = self.what_goes_wrong
        if incident is None:
            return 0
        delay = 0 if self.live else -(-incident.delay_seconds // MINUTE_SECONDS)
        return incident.history_minutes + delay

    @property
    def events(self) -> int:
        """Number of Kafka records of the run, without those that an incident adds."""
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
        raise PlanError(f"traffic plan refused: {faults(error)}") from None
