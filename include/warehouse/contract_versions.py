"""Every contract version that records may have been judged by, kept in ClickHouse.

A version is written once. What judges a record or shapes a cube may change only under a new
version; the topic's name and configuration may change under the same one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract

READ = "SELECT document FROM contract_versions FINAL WHERE stream = %(stream)s AND version = %(version)s"


class ContractChangedError(RuntimeError):
    """A contract differs from what is kept under its version."""

    def __init__(self, contract: Contract, parts: list[str]) -> None:
        super().__init__(
            f"contract {contract.stream} version {contract.version} was changed in {', '.join(parts)} after records "
            f"were judged by it: restore it, or raise its version to {contract.version + 1}"
        )


class UnknownContractVersionError(LookupError):
    """Records were judged by a contract version that is not kept."""

    def __init__(self, stream: str, version: int) -> None:
        super().__init__(
            f"contract {stream} version {version} is not kept: run prepare_platform with its file"
        )


def store_version(client: Client, contract: Contract) -> bool:
    """Keep a contract under its version; return whether it is new.

    Raises:
        ContractChangedError: another contract is kept under this version.
    """
    kept = _read(client, contract.stream, contract.version)
    if kept is None:
        client.execute(
            "INSERT INTO contract_versions (stream, version, document, stored_at) VALUES",
            [(contract.stream, contract.version, contract.model_dump_json(), datetime.now(UTC))],
        )
        return True
    changed = [
        name
        for name in sorted(Contract.model_fields)
        if name != "topic" and getattr(kept, name) != getattr(contract, name)
    ]
    if changed:
        raise ContractChangedError(contract, changed)
    return False


def read_version(client: Client, current: Contract, version: int) -> Contract:
    """Return a version of a stream's contract; `current` is the one that is loaded.

    Raises:
        UnknownContractVersionError: it is neither loaded nor kept.
    """
    if version == current.version:
        return current
    kept = _read(client, current.stream, version)
    if kept is None:
        raise UnknownContractVersionError(current.stream, version)
    return kept


def _read(client: Client, stream: str, version: int) -> Contract | None:
    found = client.execute(READ, {"stream": stream, "version": version})
    return Contract.model_validate_json(found[0][0]) if found else None
