"""# Reconcile hours

Proves that what is served equals the raw log. For each hour it recounts the raw records over
explicit Kafka offsets, compares every window and dimension, repairs what differs, seals the hour
and issues a certificate; each verified hour is then a partition of the asset `proved_<stream>`.
Hourly it takes every closed hour that is not certified or has changed since, at most 24 a stream; an hour of more
than a day is sealed again for late events once a day. Trigger it to judge one hour again, or to work through a range
of up to 31 days: each run takes 24 hours of it and starts the next. A backfill's run judges the hour before its date.

Repair `ask`: hours that differ wait for a person in `approve_repair`; all others are sealed at once. Hours whose repair
was rejected are left alone until their figures change or a form names them.
Running it twice: an hour that is certified and unchanged is skipped, unless *recount anyway*; judging it
again gives the same figures under a newer certificate.

**Triage**: task `seal` shows one line for each hour with its verdict and the reason. People are told once of each
hour that is DRIFTED, UNPROVABLE or still OPEN 2 hours after it could close; a repair done at once is no incident.
- *DRIFTED*: served figures differ, or the ledger has a gap or an overlap, and repair was `never`: trigger again with
  repair `auto`. The table `differences` names each window, `ledger_repairs` what was mended in the ledger.
- *changed before / right after it was certified*: somebody writes to sealed rows; find out who, then trigger again.
- *UNPROVABLE*: raw records expired, or the stream's start left them out, before they were read or proved. A certificate
  that exists stays in force.
- *OPEN* is no failure: records of the hour are still being folded, or a driver is taking over; the next run takes it.
- *was replaced … while run*: two runs judged one hour; trigger again.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, Param, dag, task

from include.alerts.notifier import IncidentNotifier
from include.contracts import stream_names
from include.reconcile import steps
from include.reconcile.form import FORM
from include.spark.recount import RecountOperator

PROVED = [Asset(f"proved_{stream}") for stream in stream_names()]
PLANNED = "ti.xcom_pull(task_ids='plan')"


@dag(
    schedule="3 * * * *",
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0, "on_failure_callback": IncidentNotifier()},
    tags=["platform", "proof"],
    doc_md=__doc__,
    params={name: Param(default, **field) for name, (default, field) in FORM.items()},
)
def reconcile_hour() -> None:
    planned = task(steps.plan)()  # type: ignore[call-arg]
    run = planned["run"]
    to_recount = task.short_circuit(steps.is_to_recount, ignore_downstream_trigger_rules=False)(planned)
    recount = RecountOperator(task_id="recount", run=f"{{{{ {PLANNED}['run'] }}}}")
    judged = task(steps.judge, trigger_rule="none_failed")(run)
    sealed = task(steps.seal)(run)
    proved = task(steps.require_proof, trigger_rule="none_failed")(run)
    to_recount >> recount >> judged >> sealed >> proved
    published = task(steps.publish, outlets=PROVED, trigger_rule="all_done")()  # type: ignore[call-arg]
    sealed >> published
    task(steps.remember_published)(run, published)
    waits = task.short_circuit(steps.waits_for_approval)(run)
    once = {"trigger_run_id": f"approve_{{{{ {PLANNED}['run'] }}}}", "skip_when_already_exists": True}
    ask = TriggerDagRunOperator(task_id="ask", trigger_dag_id="approve_repair", conf={"run": run}, **once)
    sealed >> waits >> ask
    rest = task.short_circuit(steps.rest_of_range)(planned)
    go_on = TriggerDagRunOperator(task_id="go_on", trigger_dag_id="reconcile_hour", conf=planned["rest"])
    rest >> go_on


reconcile_hour()
