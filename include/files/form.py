"""What the trigger form of publish_files asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from include.forms import FormError, faults

NOW, EVENT = "now", "event"
PUBLISH, STOP = "publish", "stop"
REFUSE, ALLOW = "refuse", "allow"


class Form(BaseModel):
    """A request to publish files. `rate` is in records a second over files, 0 for no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\x00]+$")] = "*"
    timestamps: Literal["now", "event"] = "event"
    rejected_lines: Literal["publish", "stop"] = "publish"
    certified_hours: Literal["refuse", "allow"] = "refuse"
    rate: float = Field(0.0, ge=0, le=1_000_000)
    dry_run: bool = False


def parse_form(params: Mapping[str, Any]) -> Form:
    """Return the form of a run.

    Raises:
        FormError: a field is unknown or its value out of bounds.
    """
    try:
        return Form.model_validate(dict(params))
    except ValidationError as error:
        raise FormError(faults(error)) from error
