"""# Launch a stream

Submits the long-running streaming job to the Spark cluster and ends when the job is seen running
and, where records wait in the topic, has committed. The stream does not depend on this task or on
Airflow afterwards. Trigger it after `prepare_platform`, or when a stream does not run.

Running it twice: while a healthy driver runs these streams, nothing is submitted and the log says
so. Otherwise a new driver takes over from the ledger; nothing is lost and nothing is doubled.

**Triage**
- *driver … is FAILED* or *not running … after*: the message ends with the last lines of the driver's log and
  its address on the worker. The usual causes are ClickHouse or Kafka being down, or no free core on the worker.
- *topic … does not exist*: run `prepare_platform`.
- *the Spark master does not answer*: start the cluster, or correct PLATFORM_SPARK_MASTER_UI.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from include.contracts import stream_names
from include.spark.launch import LaunchStreamOperator

STREAMS = stream_names()
START_PATTERN = r"^(earliest|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))$"


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream"],
    doc_md=__doc__,
    params={
        "streams": Param(
            STREAMS, type="array", items={"enum": STREAMS}, minItems=1, examples=STREAMS,
            title="Streams", description="One driver runs all of them.",
        ),
        "trigger_seconds": Param(
            1.0, type="number", minimum=0.2, maximum=60, title="Trigger interval",
            description="Seconds between micro-batches.",
        ),
        "max_offsets": Param(
            500_000, type="integer", minimum=1_000, maximum=1_000_000, title="Rate limit",
            description="Most offsets that one micro-batch takes.",
        ),
        "start": Param(
            "earliest", type="string", pattern=START_PATTERN, title="Start",
            description="Of a stream without a ledger: earliest, or an ISO timestamp such as 2026-01-01T00:00:00Z.",
        ),
    },
)  # fmt: skip
def launch_stream() -> None:
    LaunchStreamOperator(
        task_id="launch",
        streams="{{ params.streams | join(',') }}",
        trigger_seconds="{{ params.trigger_seconds }}",
        max_offsets="{{ params.max_offsets }}",
        start="{{ params.start }}",
    )


launch_stream()
