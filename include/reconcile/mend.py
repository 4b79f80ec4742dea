"""Mends a ledger whose valid rows do not chain: makes the rows anew, records that, writes them, reads again.

What is to be written is decided in chain.py; this module reads raw records and writes. A repair is
recorded before its rows are written, so that the hours it concerns are judged again whatever happens.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile.beginning import missing_beginnings, suspects
from include.reconcile.chain import ChainFault, chain_faults
from include.reconcile.long_ledger import read_long_ledger
from include.reconcile.ranges import by_partition
from include.reconcile.raw import read_records
from include.reconcile.rebuild import rebuilt_row
from include.reconcile.types import OffsetRange, ReconcileError, as_utc
from include.settings import Settings
from include.streaming.control import draw_seal, newest_claim
from include.streaming.ledger import COLUMNS, CommitState, LedgerRow
from include.streaming.stretch import forget_stretch
from include.topics.offsets import Offsets
from include.warehouse.contract_versions import UnknownContractVersionError, read_version
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

MOST_ROUNDS = 3
REPLAYED = ("replayed_partitions", "replayed_offsets", "replayed_hours")


@dataclass(frozen=True)
class Repair:
    """A ledger row made anew, when its offsets were committed at the latest, and the event hours it concerns."""

    fault: ChainFault
    row: LedgerRow
    committed_at: datetime
    hours: tuple[datetime, ...]


@dataclass(frozen=True)
class ChainedLedger:
    """A commit state whose valid rows chain; `repairs` are in it and not in the table; `broken` cannot be mended."""

    state: CommitState
    repairs: tuple[Repair, ...] = ()
    broken: tuple[str, ...] = ()


def read_ledger(
    settings: Settings, client: Client, contract: Contract, write: bool, hours: Collection[datetime] = ()
) -> ChainedLedger:
    """Read takeovers and ledger, mended: in the table when `write`, else only in what is returned.

    hours: those whose ranges are to be as narrow as the ledger tells; elsewhere its rows may be folded together.
    While a takeover is under way nothing is mended.

    Raises:
        ReconcileError: raw records could not be read, or the ledger changed faster than it was mended.
    """
    for _ in range(MOST_ROUNDS):
        state = read_long_ledger(client, contract.stream, hours)
        faults, broken = _faults(settings, contract, state)
        if not faults and not broken:
            return ChainedLedger(state)
        if newest_claim(settings, contract.stream) != state.generation:
            return ChainedLedger(state)
        reasons = [_why_not(client, fault, contract) for fault in faults]
        broken += [reason for reason in reasons if reason]
        repairs = [
            _repair(settings, client, contract, fault)
            for fault, reason in zip(faults, reasons, strict=True)
            if not reason
        ]
        if not write or not repairs:
            return ChainedLedger(_with(state, repairs), tuple(repairs), tuple(broken))
        _write(settings, client, contract, repairs)
    raise ReconcileError(
        f"{contract.stream}: the ledger still has gaps or overlaps after {MOST_ROUNDS} repairs; see ledger_repairs"
    )


def _faults(settings: Settings, contract: Contract, state: CommitState) -> tuple[list[ChainFault], list[str]]:
    begins: dict[int, int] = {}
    broken: list[str] = []
    if suspects(state.rows):
        begins, broken = missing_beginnings(state.rows, Offsets(settings, contract.topic.name).starts())
    replaying: dict[int, set[int]] = {}
    for row in state.rows:
        if row.replayed_offsets:
            replaying.setdefault(row.partition, set()).add(row.batch)
    return chain_faults(by_partition(state.rows), state.keep, begins, replaying), broken


def _why_not(client: Client, fault: ChainFault, contract: Contract) -> str:
    if fault.batch is None:
        return f"{fault.finding}; no batch id is free for it"
    if fault.span.offsets and fault.version != contract.version:
        try:
            read_version(client, contract, fault.version)
        except UnknownContractVersionError as error:
            return f"{fault.finding}; {error}"
    return ""


def _repair(settings: Settings, client: Client, contract: Contract, fault: ChainFault) -> Repair:
    assert fault.batch is not None
    span = fault.span
    version = read_version(client, contract, fault.version) if span.offsets else contract
    start = Offsets(settings, contract.topic.name).starts().get(span.partition, span.end)
    readable = OffsetRange(span.partition, min(span.end, max(span.start, start)), span.end)
    records = read_records(settings, contract.topic.name, readable) if readable.offsets else ()
    row = rebuilt_row(version, fault.batch, span, start, records)
    if fault.row is not None:
        row = replace(row, **{name: getattr(fault.row, name) for name in REPLAYED})
    after = {"stream": contract.stream, "partition": span.partition, "offset": span.end}
    committed = as_utc(client.execute(read_sql("reconcile/committed_after.sql"), after)[0][0])
    hours = {as_utc(hour) for found in (fault.row, row) if found is not None for hour in found.hours}
    return Repair(fault, row, committed if committed.year > 1970 else datetime.now(UTC), tuple(sorted(hours)))


def _with(state: CommitState, repairs: Sequence[Repair]) -> CommitState:
    rows = {(row.batch, row.partition): row for row in state.rows}
    rows |= {(repair.row.batch, repair.row.partition): repair.row for repair in repairs}
    return replace(state, rows=[rows[key] for key in sorted(rows)])


def write_approved(
    settings: Settings, client: Client, contract: Contract, findings: Collection[str], number: int
) -> None:
    """Write the repairs that remove these findings, if they are still there.

    number: of the seal that has taken them into account, so that its hour is not judged again for them.
    """
    repairs = [
        repair
        for repair in read_ledger(settings, client, contract, write=False).repairs
        if repair.fault.finding in findings
    ]
    if repairs:
        _write(settings, client, contract, repairs, number)


def _write(
    settings: Settings,
    client: Client,
    contract: Contract,
    repairs: Sequence[Repair],
    number: int | None = None,
) -> None:
    now = datetime.now(UTC)
    if number is None:
        number = draw_seal(settings, contract.stream, now)
    client.execute(
        "INSERT INTO ledger_repairs VALUES",
        [
            (
                *(contract.stream, number, repair.row.batch, repair.row.partition, repair.fault.kind),
                *(repair.row.start_offset, repair.row.end_offset, list(repair.hours)),
                *(repair.fault.finding, now),
            )
            for repair in repairs
        ],
    )
    batches = [repair.row.batch for repair in repairs]
    forget_stretch(client, contract.stream, batches)
    client.execute(
        f"INSERT INTO ledger ({COLUMNS}, committed_at) VALUES",
        [(*astuple(repair.row), repair.committed_at) for repair in repairs],
    )
    # And one that was folded meanwhile from the rows as they were.
    forget_stretch(client, contract.stream, batches)
    for repair in repairs:
        log.warning("%s: mended: %s", contract.stream, repair.fault.finding)
