"""The Python type of a stream's record, made from its contract: msgspec refuses what the fields forbid.

An absent optional field is None or, as text, may be empty too. Addresses are text here: `is_ip` judges them.
"""

from __future__ import annotations

from ipaddress import ip_address
from math import ceil, floor
from typing import Annotated, Any, Literal

import msgspec

from include.contracts.model import Contract, FieldRule


def record_type(contract: Contract) -> type[msgspec.Struct]:
    """Return a Struct with one attribute for each field; numbers are not yet at their scale."""
    fields: list[Any] = [
        (name, _required(rule)) if rule.required else (name, _optional(rule), None)
        for name, rule in contract.fields.items()
    ]
    return msgspec.defstruct(f"{contract.stream}_record", fields, gc=False, frozen=True, kw_only=True)


def is_ip(text: str) -> bool:
    """Say whether a text is an IPv4 or IPv6 address, without a zone (`%eth0`), a mask or a blank."""
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def _required(rule: FieldRule) -> Any:
    if rule.is_number:
        return _number(rule)
    if rule.allowed is not None:
        return Literal[rule.allowed]
    if rule.min_length:
        return Annotated[str, msgspec.Meta(min_length=rule.min_length)]
    return str


def _optional(rule: FieldRule) -> Any:
    if rule.is_number:
        return _number(rule) | None
    if rule.allowed is not None:
        return Literal[(*rule.allowed, "")] | None
    if rule.min_length and rule.min_length > 1:
        return Annotated[str, msgspec.Meta(pattern=rf"(?s)\A(?:.{{{rule.min_length},}})?\Z")] | None
    return str | None


def _number(rule: FieldRule) -> Any:
    if rule.minimum is None or rule.maximum is None:
        raise ValueError(f"a number without bounds: {rule}")  # the model refuses it
    if rule.type == "integer":
        return Annotated[int, msgspec.Meta(ge=ceil(rule.minimum), le=floor(rule.maximum))]
    return Annotated[float, msgspec.Meta(ge=rule.minimum, le=rule.maximum)]
