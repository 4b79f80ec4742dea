"""# Inject drift (demo and test only)

Damages the served figures of one hour, so that anyone can watch `reconcile_hour` catch and repair
it. Refused unless PLATFORM_ALLOW_INJECT_DRIFT is true. The raw log is never touched.

`lost_row` removes rows: of a sealed hour, exact rows under the certificate in force; of an open
hour, deltas. The seed decides which.

Running it twice: each run removes further rows of what is still served.

**Triage**
- *not allowed*: set PLATFORM_ALLOW_INJECT_DRIFT=true, never in production.
- *holds … rows*: the hour serves fewer rows than asked for, or none. Choose another hour or fewer rows.
- *mutation … not done*: ClickHouse is busy; its system.mutations tells why.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from include.contracts import stream_names
from include.summary import log_summary

STREAMS = stream_names()
HOUR_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$"


@task
def inject(params: dict[str, Any]) -> dict[str, Any]:
    from include.reconcile.inject import DriftNotAllowedError, inject_lost_row, parse_hour
    from include.settings import get_settings

    chosen = {name: params[name] for name in ("stream", "rows", "seed")}
    try:
        injection = inject_lost_row(get_settings(), hour=parse_hour(params["hour"]), **chosen)
    except DriftNotAllowedError as error:
        raise AirflowFailException(str(error)) from error
    log_summary(f"{injection.kind} injected into {injection.table}", asdict(injection))
    return asdict(injection)


@dag(
    schedule=None,
    catchup=False,
    default_args={"owner": "platform", "retries": 0},
    tags=["demo", "proof"],
    doc_md=__doc__,
    params={
        "kind": Param("lost_row", enum=["lost_row"], type="string", title="Kind of damage"),
        "stream": Param(STREAMS[0] if STREAMS else "", enum=STREAMS, type="string", title="Stream"),
        "hour": Param(
            "2026-01-01T00:00:00Z",
            type="string",
            pattern=HOUR_PATTERN,
            title="Hour",
            description="Its start, in UTC.",
        ),
        "rows": Param(3, type="integer", minimum=1, maximum=1_000, title="Rows to remove"),
        "seed": Param(1, type="integer", minimum=0, title="Seed", description="Decides which rows."),
    },
)
def inject_drift() -> None:
    inject()


inject_drift()
