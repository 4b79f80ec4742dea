"""# Reconcile hours

Proves that what is served equals the raw log. For each hour it recounts the raw records over
explicit Kafka offsets, compares every window and dimension, repairs what differs, seals the hour
and issues a certificate; each verified hour is then a partition of the asset `proved_<stream>`.
Hourly it takes every closed hour that is not certified or has changed since, at most 24 a stream;
trigger it to judge given hours again, whatever their state.

Running it twice: an hour that is certified and unchanged is skipped, unless it is named; judging it
again gives the same figures under a newer certificate.

**Triage**: task `seal` shows one line for each hour with its verdict and the reason.
- *DRIFTED*: served figures differ and repair was `never`, or the ledger has a hole or an overlap. The table
  `differences` names each window; trigger again with repair `auto`.
- *UNPROVABLE*: raw records expired before they were read or proved. A certificate that exists stays in force.
- *OPEN* is no failure: records of the hour are still being folded, or a driver is taking over; the next run takes it.
- *was replaced … while run*: two runs judged one hour; trigger again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.contracts import stream_names
from include.spark.recount import RecountOperator

STREAMS = stream_names()
PROVED = [Asset(f"proved_{stream}") for stream in STREAMS]
HOUR = {"type": ["null", "string"], "format": "date-time"}


@task
def plan(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    from include.reconcile.trigger import plan_run

    return plan_run(params, dag_run.run_type, dag_run.logical_date)


@task.short_circuit(ignore_downstream_trigger_rules=False)
def to_recount(planned: dict[str, Any]) -> bool:
    return bool(planned["to_recount"])


@task(trigger_rule="none_failed")
def judge(run: str) -> dict[str, int]:
    from include.reconcile.judging import judge_run
    from include.settings import get_settings

    return judge_run(get_settings(), run)


@task
def seal(run: str) -> None:
    from include.reconcile.report import log_table
    from include.reconcile.seal import seal_run
    from include.settings import get_settings

    log_table(seal_run(get_settings(), run))


@task(outlets=PROVED)
def publish(run: str, outlet_events: Any) -> None:
    from include.reconcile.report import verified
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    hours = verified(run_lines(get_settings(), run))
    if not hours:
        raise AirflowSkipException("no hour was verified")
    for asset in PROVED:
        outlet_events[asset].add_partitions(hours.get(asset.name.removeprefix("proved_"), []))


@task(trigger_rule="none_failed")
def require_proof(run: str) -> None:
    from include.reconcile.report import HoursNotProvedError, require_no_failure
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    try:
        require_no_failure(run_lines(get_settings(), run))
    except HoursNotProvedError as error:
        raise AirflowFailException(str(error)) from error


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
    planned = plan()  # type: ignore[call-arg]
    run = planned["run"]
    recount = RecountOperator(task_id="recount", run="{{ ti.xcom_pull(task_ids='plan')['run'] }}")
    judged = judge(run)
    to_recount(planned) >> recount >> judged
    judged >> seal(run) >> publish(run) >> require_proof(run)  # type: ignore[call-arg]


reconcile_hour()
