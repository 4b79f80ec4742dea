"""Contracts of the streams: one YAML file each, and what follows from it."""

from include.contracts.load import ContractError, load_contract, load_contracts, stream_names
from include.contracts.model import Contract, Cube, FieldRule, Measure, Rule

__all__ = [
    "Contract",
    "ContractError",
    "Cube",
    "FieldRule",
    "Measure",
    "Rule",
    "load_contract",
    "load_contracts",
    "stream_names",
]
