"""The model's contract versions 1 and 2 as real contracts: the second accepts a country more."""

from __future__ import annotations

from include.contracts import Contract
from tests.protocol.world import Record

NEW_COUNTRY = "BR"


def versions(contract: Contract) -> dict[int, Contract]:
    """Return both versions, under numbers above the shipped one's."""
    country = contract.fields["country"]
    wider = country.model_copy(update={"allowed": (*(country.allowed or ()), NEW_COUNTRY)})
    second = {"version": contract.version + 2, "fields": {**contract.fields, "country": wider}}
    return {
        1: contract.model_copy(update={"version": contract.version + 1}),
        2: contract.model_copy(update=second),
    }


def country(record: Record) -> str:
    """Return a country that exactly the versions accept which accept the record."""
    known = {frozenset({1, 2}): "UK", frozenset({2}): NEW_COUNTRY, frozenset(): "none"}
    return known[record.accepted_by]
