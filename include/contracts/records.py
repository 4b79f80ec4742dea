"""The Python type of a stream's record, made from its contract: msgspec refuses what the fields forbid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from include.contracts.model import Contract, FieldRule


def record_type(contract: Contract) -> type[msgspec.Struct]:
    """Return a Struct with one attribute for each field; numbers are floats, not yet at their scale."""
    fields = [(name, _annotation(rule)) for name, rule in contract.fields.items()]
    return msgspec.defstruct(f"{contract.stream}_record", fields, gc=False, frozen=True)


def _annotation(rule: FieldRule) -> Any:
    if rule.type == "number":
        return Annotated[float, msgspec.Meta(ge=rule.minimum, le=rule.maximum)]
    if rule.allowed is not None:
        return Literal[rule.allowed]
    if rule.min_length:
        return Annotated[str, msgspec.Meta(min_length=rule.min_length)]
    return str
