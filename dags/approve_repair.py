"""# Approve a repair

Asks a person whether hours may be repaired. `reconcile_hour` triggers it when it runs in repair mode `ask` and found
served figures that differ; it is not triggered by hand. The question stands under Required Actions, with the reason,
the figures before and after, and the first differing windows of each hour. Nobody waits for it: hours that were
proved in the same run are sealed already, and later runs go on and leave these hours alone meanwhile.

Approve: the recounted rows that were shown are certified, the hours are REPAIRED, and the certificate names who
approved. Reject, or no answer within 24 hours: nothing is changed, and the hours stay DRIFTED. A rejection is
remembered for 30 days: scheduled runs leave the hour alone until its figures change or a form names it. Without an
answer the next run asks.

Running it twice: the second finds nothing that waits and fails in `ask`.

**Triage**
- *was replaced … while run*: another run certified one of the hours before the answer, so what was shown is no longer
  what would be changed. Nothing was changed; the next `reconcile_hour` judges these hours again.
- *no repair that waits*: the question was answered, or its run is unknown. Trigger `reconcile_hour` with repair `ask`.
- *DRIFTED … is withdrawn*: somebody wrote to the rows of the repair before it was certified; find out who.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset, Param, dag, task

from include.alerts.notifier import IncidentNotifier
from include.contracts import stream_names
from include.reconcile import steps

PROVED = [Asset(f"proved_{stream}") for stream in stream_names()]
QUESTION = "ti.xcom_pull(task_ids='ask')"
RUN = {
    "type": "string",
    "minLength": 1,
    "title": "Run",
    "description": "Of reconcile_hour, as its task plan shows.",
}


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=32,
    default_args={"owner": "platform", "retries": 0, "on_failure_callback": IncidentNotifier()},
    tags=["platform", "proof"],
    doc_md=__doc__,
    params={"run": Param(**RUN)},
)
def approve_repair() -> None:
    # Not ApprovalOperator: at a rejection that skips what follows, and a rejection is to be written down.
    approve = HITLOperator(
        task_id="approve",
        options=[steps.APPROVE, steps.REJECT],
        subject=f"{{{{ {QUESTION}['subject'] }}}}",
        body=f"{{{{ {QUESTION}['body'] }}}}",
        defaults=steps.REJECT,
        response_timeout=timedelta(hours=24),
    )
    settled = task(steps.settle)()  # type: ignore[call-arg]
    published = task(steps.publish, outlets=PROVED)()  # type: ignore[call-arg]
    task(steps.ask)() >> approve >> settled >> published  # type: ignore[call-arg]
    task(steps.remember_published)("{{ params.run }}", published)


approve_repair()
