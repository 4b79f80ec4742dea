"""# Compact the warehouse

Drops what a certificate makes needless, and what is old:

- rows of superseded seals, and deltas that the certificate in force of their hour includes: what readers see stays
  the same, before, during and after;
- dead letters, heartbeats, checks and accounts of generated traffic after 30 days; ledger rows, sealed rows,
  certificates and their evidence after 400 days, oldest hour first; alerts, closed incidents, orders, requests to stop
  and approvals of dead letters after 400 days, unless they still say what ought to run or be folded.

It also adds up the ledger's rows of more than two days ago, so that nobody reads them one by one each hour and minute, and
holds what was added up before against the rows. Sealed rows of days before yesterday are merged to one part a day: readers
then have less to plan and to merge.

Nothing goes that is not certified, whatever its age. Only rows are dropped, never a partition in which a late delta
could land. It may run beside the stream, a reconciliation, or itself.

Running it twice: the second run finds nothing to do and says so.

**Triage**
- *kept … not those that were certified*: somebody altered sealed rows of that hour. Trigger `reconcile_hour` for it.
- *older hours stay, since … was never certified*: that hour blocks the retention of those after it; look it up in
  `verdicts`. It stays until it is certified.
- *altered … ledger rows of n pieces were altered or lost*: somebody or something changed old rows of the ledger. The next
  `reconcile_hour` finds the gap or overlap and mends it; trigger it with the hours of those batches to have them counted again.
- *mutation … not done*: ClickHouse is busy; `system.mutations` tells why. The mutation goes on; trigger this again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names

STREAMS = stream_names()


@task(retries=1, retry_delay=timedelta(minutes=10))
def compact(params: dict[str, Any]) -> int:
    from include.compact.run import compact_warehouse as run
    from include.compact.run import log_outcome
    from include.settings import get_settings

    outcome = run(get_settings(), params["streams"], params["dry_run"])
    log_outcome(outcome, params["dry_run"])
    return outcome.rows


@dag(
    schedule="23 2 * * *",
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "proof"],
    doc_md=__doc__,
    params={
        "streams": Param(STREAMS, type="array", items={"enum": STREAMS}, minItems=1, examples=STREAMS, title="Streams"),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would be dropped."),
    },
)  # fmt: skip
def compact_warehouse() -> None:
    compact()


compact_warehouse()
