"""Repairs that a person rejected: remembered until what is served of the hour, or its ledger, changes.

A scheduled run leaves such an hour as it is, in whatever repair mode, and asks nobody again. A run whose form names
the hour, or a backfill, judges it again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.contracts import Contract
from include.reconcile.compare import digest_of
from include.reconcile.store import SERVED, bounds, text
from include.reconcile.types import Answer, Certificate, HourPlan, as_utc
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)

REMEMBERED = timedelta(days=30)  # then a person is asked once more


def served_now(client: Client, contract: Contract, plan: HourPlan) -> str:
    """Return what stays equal while nothing changes: digests of an hour's served rows, and its ledger's faults.

    The rows are those of the plan's base certificate and the valid deltas after it, up to the plan's frontier.
    """
    base = plan.base or Certificate(0, 0, "")
    values = {
        **bounds(plan.hour),
        "stream": plan.stream,
        "generation": plan.generation,
        "base_frontier": base.frontier,
        "frontier": plan.frontier,
    }
    deltas = {
        cube.name: client.execute(read_sql("reconcile/delta_digest.sql.j2", cube=cube), values)[0][0]
        for cube in contract.cubes
    }
    sealed = digest_of(client, contract, plan.hour, base.frontier, base.seal) if plan.base else ""
    return json.dumps([base.frontier, base.seal, sealed, deltas, plan.findings])


def rejected_hours(
    client: Client,
    contract: Contract,
    needs_judgement: Callable[[datetime], bool],
    blank: Callable[[datetime], HourPlan],
) -> frozenset[datetime]:
    """Return the hours that need a judgement, whose repair a person rejected, and that are as they were then.

    blank returns the plan that a run would begin with, without what is to be read.
    """
    since = {"stream": contract.stream, "since": text(datetime.now(UTC) - REMEMBERED)}
    found = set()
    for moment, run, question, said in client.execute(read_sql("reconcile/answered.sql"), since):
        hour = as_utc(moment)
        answer, shown = Answer(**json.loads(said)), json.loads(question).get(SERVED)
        if answer.approved or not answer.by or not needs_judgement(hour):
            continue
        if served_now(client, contract, blank(hour)) == shown:
            found.add(hour)
            log.info(
                "%s %s: %s rejected its repair in run %s, and nothing has changed since: left as it is. "
                "To have it judged again, trigger reconcile_hour with this hour",
                *(contract.stream, f"{hour:%Y-%m-%dT%H}", answer.by, run),
            )
    return frozenset(found)
