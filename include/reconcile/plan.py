"""Plans a run: draws seals, reads the ledger as the driver does, and says for each hour what is to be read.

The order of reads is the protocol's: seal number, takeover rows and ledger, base certificate,
and only then the newest claim, which must be the generation that the ledger knows. A ledger with a
gap or an overlap is mended first, so that what an hour is judged by covers each offset once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import store
from include.reconcile.history import read_history, repairs
from include.reconcile.hours import asked_hours, due_hours
from include.reconcile.mend import ChainedLedger, read_ledger
from include.reconcile.stream_plan import StreamPlanner, decided
from include.reconcile.types import (
    AUTO,
    HOUR,
    OPEN,
    Certificate,
    HourPlan,
    as_utc,
)
from include.settings import Settings
from include.streaming.control import draw_seal, newest_claim
from include.streaming.ledger import GENERATION_BITS, CommitState
from include.warehouse.client import connect

log = logging.getLogger(__name__)

NEVER_CERTIFIED = 2**63  # above any seal number


def make_plans(
    settings: Settings,
    streams: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    repair: str,
    load: Callable[[str], Contract] = load_contract,
) -> tuple[str, list[HourPlan]]:
    """Plan and record a run; return its id and the plans. Hours named by `start` and `end` are always taken up.

    Raises:
        ValueError: the range is empty or too long.
        ReconcileError: a topic does not exist.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    client = connect(settings)
    try:
        plans: list[HourPlan] = []
        for stream in streams:
            plans += _plan_stream(settings, client, run, load(stream), start, end, repair)
        store.write_plans(client, plans)
    finally:
        client.disconnect()
    return run, plans


def _plan_stream(
    settings: Settings,
    client: Client,
    run: str,
    contract: Contract,
    start: datetime | None,
    end: datetime | None,
    repair: str,
) -> list[HourPlan]:
    stream = contract.stream
    ledger = read_ledger(settings, client, contract, write=repair == AUTO)
    hours = _hours(client, contract, ledger, start, end)
    if not hours:
        log.info("%s: no closed hour needs a judgement", stream)
        return []
    seals = {hour: draw_seal(settings, stream, hour) for hour in hours}
    ledger = read_ledger(settings, client, contract, write=repair == AUTO)
    state = ledger.state
    bases = store.certificates(client, stream, hours[0], hours[-1] + HOUR)
    mended = repairs(client, stream)
    claimed = newest_claim(settings, stream)
    blank = [
        HourPlan(
            *(run, stream, hour, seals[hour], state.generation, frontier_of(state), bases.get(hour)),
            contract_version=contract.version,
            repair=repair,
            findings=_findings(hour, bases.get(hour), mended, ledger),
        )
        for hour in hours
    ]
    if claimed != state.generation:
        reason = f"generation {claimed} is claimed and generation {state.generation} has committed: a takeover is under way"
        return [decided(plan, OPEN, reason) for plan in blank]
    if not state.rows:
        return [decided(plan, OPEN, "nothing is committed yet") for plan in blank]
    # Certified between the two reads: judged by this ledger, what the other run has seen would look like a difference.
    overtaken = [plan for plan in blank if plan.base is not None and plan.base.frontier > plan.frontier]
    rest = [plan for plan in blank if plan not in overtaken]
    return [
        *(decided(plan, OPEN, "another run has certified a later ledger") for plan in overtaken),
        *StreamPlanner(settings, client, contract, ledger).plan(rest),
    ]


def frontier_of(state: CommitState) -> int:
    """Return the batch up to which a seal includes deltas. A batch whose rows were all emptied does not count:
    the driver may still use its number."""
    batches = (row.batch for row in state.rows if row.end_offset > row.start_offset or row.accepted)
    return max(state.generation << GENERATION_BITS, max(batches, default=0))


def _hours(
    client: Client,
    contract: Contract,
    ledger: ChainedLedger,
    start: datetime | None,
    end: datetime | None,
) -> list[datetime]:
    first, last = start or end, end or start
    if first is not None and last is not None:
        return asked_hours(_whole(first), _whole(last))
    history = read_history(client, contract, ledger.state)
    unwritten = {hour: NEVER_CERTIFIED for found in ledger.repairs for hour in found.hours}
    history = replace(history, mended={**history.mended, **unwritten})
    return due_hours(history, datetime.now(UTC), contract.lateness_seconds)


def _findings(
    hour: datetime,
    base: Certificate | None,
    mended: Sequence[tuple[int, str, list[datetime]]],
    ledger: ChainedLedger,
) -> tuple[str, ...]:
    """Return what was wrong with the ledger for an hour and no certificate has taken into account."""
    since = base.seal if base else 0
    found = [finding for number, finding, hours in mended if number > since and hour in hours]
    found += [repair.fault.finding for repair in ledger.repairs if hour in repair.hours]
    return tuple(dict.fromkeys(found))


def _whole(moment: datetime) -> datetime:
    return as_utc(moment).replace(minute=0, second=0, microsecond=0)
