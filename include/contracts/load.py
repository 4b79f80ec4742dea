"""Reads contract files and refuses wrong ones with file, line and reason."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from include.contracts.model import Contract

CONTRACTS_DIR = Path(__file__).parent


class ContractError(ValueError):
    """A contract file is wrong; the message holds file, line and reason of each fault."""


def stream_names(folder: Path = CONTRACTS_DIR) -> list[str]:
    """Return the streams that have a contract, by file name alone: no file is read."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


@lru_cache(maxsize=64)
def load_contract(stream: str, folder: Path = CONTRACTS_DIR) -> Contract:
    """Return the contract of a stream.

    Raises:
        ContractError: there is no such file, it is not YAML, or it breaks a rule of the model.
    """
    path = folder / f"{stream}.yaml"
    if not path.is_file():
        raise ContractError(
            f"no contract {path.name}; known streams: {', '.join(stream_names(folder)) or 'none'}"
        )
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.compose(text)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ContractError(f"{path.name}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ContractError(f"{path.name}:1: not YAML: {error}") from error
    repeated = _repeated_key(node)
    if repeated is not None:
        raise ContractError(f"{path.name}:{repeated.start_mark.line + 1}: {repeated.value}: key is repeated")
    try:
        contract = Contract.model_validate(data)
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False):
            place = (*fault["loc"], *getattr(fault.get("ctx", {}).get("error"), "place", ()))
            named = ".".join(map(str, place)) or "contract"
            faults.append(f"{path.name}:{_line_of(node, place)}: {named}: {fault['msg']}")
        raise ContractError("\n".join(faults)) from error
    if contract.stream != stream:
        raise ContractError(
            f"{path.name}:{_line_of(node, ('stream',))}: stream is {contract.stream!r}, the file says {stream!r}"
        )
    return contract


def load_contracts(folder: Path = CONTRACTS_DIR) -> list[Contract]:
    """Return every contract, by name of the stream."""
    return [load_contract(stream, folder) for stream in stream_names(folder)]


def _repeated_key(node: Any) -> Any:
    """Return the node of the first key that its mapping holds twice, None when there is none."""
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, map(_repeated_key, node.value)), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            return key
        seen.add(key.value)
        below = _repeated_key(value)
        if below is not None:
            return below
    return None


def _line_of(node: Any, location: tuple[int | str, ...]) -> int:
    """Return the line, from 1, of the deepest part of `location` that the YAML holds."""
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line
