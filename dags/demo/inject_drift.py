"""# Inject drift (demo and test only)

Damages what is served of one hour, so that anyone can watch `reconcile_hour` catch and repair it.
Refused unless PLATFORM_ALLOW_INJECT_DRIFT is true, and to users who may only view. No record of the
raw log is ever touched: `late_event` and `duplicate_events` send records of their own.

Each kind says what it does in the form. Those of single rows damage exact rows of a sealed hour and
deltas of an open one; `lost_batch` and `doubled_batch` need an open hour. The seed decides which rows.
A rejected record that became valid is no damage: see `replay_dead_letters`.

Running it twice: each run does further damage to what is still served.

**Triage**
- *not allowed*: set PLATFORM_ALLOW_INJECT_DRIFT=true, never in production.
- *fewer than the … asked for*: the hour holds less than that, or nothing. Choose another hour or a smaller size.
- *every valid batch id … is used*: choose an hour that is not sealed yet.
- *mutation … not done*: ClickHouse is busy; its system.mutations tells why.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.reconcile.inject.kinds import KINDS
from include.summary import log_summary

STREAMS = stream_names()
HOUR_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$"
KIND_LABELS = {kind: f"{kind}: {what}" for kind, what in KINDS.items()}


@task
def inject(params: dict[str, Any]) -> dict[str, Any]:
    from include.reconcile.inject.order import USER_ERRORS, parse_hour
    from include.reconcile.inject.registry import inject_drift as do
    from include.refusal import refuse
    from include.settings import get_settings

    chosen = {name: params[name] for name in ("kind", "stream", "size", "seed")}
    try:
        injection = do(get_settings(), hour=parse_hour(params["hour"]), cube=params["cube"] or "", **chosen)
    except USER_ERRORS as error:
        refuse(error)
    log_summary(f"{injection.kind} injected into {injection.table}", asdict(injection))
    return asdict(injection)


@dag(
    schedule=None,
    catchup=False,
    default_args={"owner": "platform", "retries": 0},
    tags=["demo", "proof"],
    doc_md=__doc__,
    params={
        "kind": Param(
            "lost_row", enum=list(KINDS), title="Kind of damage", values_display=KIND_LABELS,
            description="What is done to served rows, deltas or the ledger of the hour.",
        ),
        "stream": Param(STREAMS[0], enum=STREAMS, title="Stream", description="Whose hour is damaged."),
        "cube": Param(None, type=["null", "string"], title="Cube", description="One of the stream's; empty: any."),
        "hour": Param(
            "2026-01-01T00:00:00Z", type="string", pattern=HOUR_PATTERN, title="Hour",
            description="Its start in UTC, such as 2026-01-01T05:00:00Z.",
        ),
        "size": Param(
            3, type="integer", minimum=1, maximum=1_000, title="Size", description="Rows, batches or records."
        ),
        "seed": Param(1, type="integer", minimum=0, title="Seed", description="Decides which rows."),
    },
)  # fmt: skip
def inject_drift() -> None:
    inject()


inject_drift()
