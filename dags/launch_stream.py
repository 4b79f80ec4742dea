"""# Launch a stream

Submits the long-running streaming job to the Spark cluster and ends when it is seen running and, where records wait
in the topic, has committed. The stream does not depend on this task or on Airflow afterwards. Trigger it after
`prepare_platform`, or when a stream is to run; from then on `watch_stream` keeps it running until `stop_stream`.

Running it twice, even at the same moment, leaves one driver: launches go one after the other, and while a healthy one
runs nothing is submitted. Nothing is lost and nothing is doubled.

**Triage**
- *would count records twice*: the start is earlier than the ledger. Leave it empty; `reconcile_hour` recounts the past.
- *approve_skip waits*: the start is later than the ledger. Read the offsets and hours that would be lost, then decide
  under Required Actions; after Reject nothing is submitted and `launch` is skipped.
- *has lost its ledger*: restore ClickHouse, or launch with `confirm_rebuild`.
- *driver … is FAILED* or *not running … after*: the message ends with the driver's log. The usual causes are ClickHouse
  or Kafka being down, or no free core on the worker.
- *topic … does not exist*: run `prepare_platform`. *the Spark master does not answer*: start the cluster.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.spark.form import CONFIRM_REBUILD, MAX_OFFSETS, START, STREAMS, TRIGGER_SECONDS
from include.spark.launch import LaunchStreamOperator

PLAN = "ti.xcom_pull(task_ids='check', key='plan')"


@task.branch
def check(params: dict[str, Any], ti: Any) -> str:
    from include.spark.form import plan_launch

    plan = plan_launch(params)
    ti.xcom_push(key="plan", value=plan)
    return "approve_skip" if plan["skip_to"] else "launch"


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=4,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream"],
    doc_md=__doc__,
    params={
        "streams": Param(stream_names(), **STREAMS, description="One driver runs all of them."),
        "trigger_seconds": Param(1.0, **TRIGGER_SECONDS),
        "max_offsets": Param(500_000, **MAX_OFFSETS),
        "start": Param(None, **START),
        "confirm_rebuild": Param(False, **CONFIRM_REBUILD),
    },
)
def launch_stream() -> None:
    approve = ApprovalOperator(
        task_id="approve_skip", subject=f"{{{{ {PLAN}['subject'] }}}}", body=f"{{{{ {PLAN}['body'] }}}}"
    )
    launch = LaunchStreamOperator(
        task_id="launch",
        trigger_rule="none_failed_min_one_success",
        max_active_tis_per_dag=1,  # a launch that waits finds what the one before it has launched
        streams="{{ params.streams | join(',') }}",
        trigger_seconds="{{ params.trigger_seconds }}",
        max_offsets="{{ params.max_offsets }}",
        start="{{ params.start or '' }}",
        skip_to=f"{{{{ {PLAN}['skip_to'] }}}}",
        confirm_rebuild="{{ params.confirm_rebuild }}",
    )
    check() >> [approve, launch]
    approve >> launch


launch_stream()
