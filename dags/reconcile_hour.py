"""# Reconcile hours

Proves that what is served equals the raw log. For each hour it recounts the raw records over
explicit Kafka offsets, compares every window and dimension, repairs what differs, seals the hour
and issues a certificate; each verified hour is then a partition of the asset `proved_<stream>`.
Hourly it takes every closed hour that is not certified or has changed since, at most 24 a stream;
trigger it to judge given hours again, whatever their state.

Running it twice: an hour that is certified and unchanged is skipped, unless it is named; judging it
again gives the same figures under a newer certificate.

**Triage**: task `seal` shows one line for each hour with its verdict and the reason.
- *DRIFTED*: served figures differ, or the ledger has a gap or an overlap, and repair was `never`: trigger again with
  repair `auto`. The table `differences` names each window, `ledger_repairs` what was mended in the ledger.
- *changed before / right after it was certified*: somebody writes to sealed rows; find out who, then trigger again.
- *UNPROVABLE*: raw records expired before they were read or proved. A certificate that exists stays in force.
- *OPEN* is no failure: records of the hour are still being folded, or a driver is taking over; the next run takes it.
- *was replaced … while run*: two runs judged one hour; trigger again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from include.contracts import stream_names
from include.reconcile import steps
from include.spark.recount import RecountOperator

STREAMS = stream_names()
PROVED = [Asset(f"proved_{stream}") for stream in STREAMS]
HOUR = {"type": ["null", "string"], "format": "date-time"}


@task(outlets=PROVED)
def publish(run: str, outlet_events: Any) -> None:
    hours = steps.verified_hours(run)
    if not hours:
        raise AirflowSkipException("no hour was verified")
    for asset in PROVED:
        outlet_events[asset].add_partitions(hours.get(asset.name.removeprefix("proved_"), []))


@dag(
    schedule="3 * * * *",
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "proof"],
    doc_md=__doc__,
    params={
        "streams": Param(STREAMS, type="array", items={"enum": STREAMS}, minItems=1, examples=STREAMS, title="Streams"),
        "from_hour": Param(None, **HOUR, title="From hour", description="First hour; empty: what needs a judgement."),
        "to_hour": Param(None, **HOUR, title="To hour", description="Last hour, included; at most 24 hours."),
        "repair": Param("auto", enum=["auto", "never"], title="Repair", description="never: report DRIFTED, change nothing."),
    },
)  # fmt: skip
def reconcile_hour() -> None:
    planned = task(steps.plan)()  # type: ignore[call-arg]
    run = planned["run"]
    to_recount = task.short_circuit(steps.is_to_recount, ignore_downstream_trigger_rules=False)(planned)
    recount = RecountOperator(task_id="recount", run="{{ ti.xcom_pull(task_ids='plan')['run'] }}")
    judged = task(steps.judge, trigger_rule="none_failed")(run)
    proved = task(steps.require_proof, trigger_rule="none_failed")(run)
    to_recount >> recount >> judged >> task(steps.seal)(run) >> publish(run) >> proved  # type: ignore[call-arg]


reconcile_hour()
