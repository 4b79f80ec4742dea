"""Plans a run: draws seals, reads the ledger as the driver does, and says for each hour what is to be read.

The order of reads is the protocol's: seal number, takeover rows and ledger, base certificate,
and only then the newest claim, which must be the generation that the ledger knows. A ledger with a
gap or an overlap is mended first, so that what an hour is judged by covers each offset once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import store
from include.reconcile.history import read_history, repairs
from include.reconcile.hours import asked_hours, due_hours, needs_judgement
from include.reconcile.mend import ChainedLedger, read_ledger
from include.reconcile.rejected import rejected_hours
from include.reconcile.replays import replay_findings
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
from include.topics.offsets import Offsets
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
    recount_anyway: bool = True,
) -> tuple[str, list[HourPlan]]:
    """Plan and record a run; return its id and the plans.

    recount_anyway: whether hours named by `start` and `end` are taken up though they are certified and unchanged.

    Raises:
        ValueError: the range is empty or too long.
        ReconcileError: a topic does not exist.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    client = connect(settings)
    try:
        plans: list[HourPlan] = []
        for stream in streams:
            plans += _plan_stream(settings, client, run, load(stream), start, end, repair, recount_anyway)
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
    recount_anyway: bool,
) -> list[HourPlan]:
    stream = contract.stream
    ledger = read_ledger(settings, client, contract, write=repair == AUTO)
    hours = _hours(settings, client, contract, ledger, start, end, recount_anyway)
    if not hours:
        log.info("%s: no closed hour needs a judgement", stream)
        return []
    seals = {hour: draw_seal(settings, stream, hour) for hour in hours}
    ledger = read_ledger(settings, client, contract, write=repair == AUTO, hours=hours)
    state = ledger.state
    bases = store.certificates(client, stream, hours[0], hours[-1] + HOUR)
    versions = store.certificate_versions(client, stream, hours[0], hours[-1] + HOUR)
    mended = repairs(client, stream)
    claimed = newest_claim(settings, stream)
    blank = [
        replace(
            _blank(contract, ledger, hour, bases.get(hour), mended),
            run=run,
            seal=seals[hour],
            repair=repair,
            base_contract_version=_version_of(hour, bases.get(hour), versions),
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
    batches = (
        row.batch
        for row in state.rows
        if row.end_offset > row.start_offset or row.accepted or row.replayed_offsets
    )
    return max(state.generation << GENERATION_BITS, max(batches, default=0))


def _hours(
    settings: Settings,
    client: Client,
    contract: Contract,
    ledger: ChainedLedger,
    start: datetime | None,
    end: datetime | None,
    recount_anyway: bool,
) -> list[datetime]:
    first, last, asked = start or end, end or start, []
    if first is not None and last is not None:
        asked = asked_hours(_whole(first), _whole(last))
        if recount_anyway:
            return asked
    history = read_history(client, contract, ledger.state, Offsets(settings, contract.topic.name).starts)
    unwritten = {hour: NEVER_CERTIFIED for found in ledger.repairs for hour in found.hours}
    known = [history.first] if history.first else []
    history = replace(
        history, mended={**history.mended, **unwritten}, first=min([*known, *unwritten], default=None)
    )
    now = datetime.now(UTC)
    if not asked:
        mended = repairs(client, contract.stream)
        left = rejected_hours(
            client,
            contract,
            lambda hour: needs_judgement(hour, history, now),
            lambda hour: _blank(contract, ledger, hour, history.certificates.get(hour), mended),
        )
        history = replace(history, waiting=history.waiting | left)
        return due_hours(history, now, contract.lateness_seconds)
    changed = [hour for hour in asked if needs_judgement(hour, history, now, asked=True)]
    log.info("%s: %s of %s hours need a judgement", contract.stream, len(changed), len(asked))
    return changed


def _blank(
    contract: Contract,
    ledger: ChainedLedger,
    hour: datetime,
    base: Certificate | None,
    mended: Sequence[tuple[int, str, list[datetime]]],
) -> HourPlan:
    """Return the plan of an hour before anything of it is decided; it has no run and no seal yet."""
    state = ledger.state
    return HourPlan(
        *("", contract.stream, hour, 0, state.generation, frontier_of(state), base),
        contract_version=contract.version,
        repair=AUTO,
        findings=_findings(hour, base, mended, ledger),
    )


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
    found += replay_findings(ledger.state.rows, hour, base.frontier if base else 0)
    return tuple(dict.fromkeys(found))


def _version_of(
    hour: datetime, base: Certificate | None, versions: Mapping[tuple[datetime, int, int], int]
) -> int:
    return versions.get((hour, base.frontier, base.seal), 0) if base else 0


def _whole(moment: datetime) -> datetime:
    return as_utc(moment).replace(minute=0, second=0, microsecond=0)
