"""# Stop a stream

Asks the driver of each chosen stream to commit its current batch and end. Nothing is lost and nothing is doubled: the
ledger is the checkpoint from which `launch_stream` goes on. Trigger it before maintenance. Nothing starts the stream
again but `launch_stream` and `restart_stream`: the order to stop is kept.

Running it twice: a stream that does not run is reported as absent and left alone.

**Triage**: the summary says how each stream ended, and whether it was forced. No outcome harms data.
- *stopped*: gracefully. *ended*: by itself or by a crash before it could answer. *absent*: none ran.
- *killed*, forced: the driver hung, for instance on a ClickHouse that did not answer.
- *fenced*, forced: its driver is out of the master's reach, or runs other streams too. What it still writes for this
  one is void. Look at the Spark worker for a process that is left.
- *the Spark master does not answer*: start the cluster and trigger again; the order to stop stands meanwhile.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.spark.form import LIMIT_SECONDS, STREAMS, stop_one


@task
def chosen(params: dict[str, Any]) -> list[str]:
    return sorted(set(params["streams"]))


@task(map_index_template="{{ stream }}")
def stop(stream: str, params: dict[str, Any]) -> dict[str, Any]:
    return stop_one(stream, params["limit_seconds"], by="stop_stream")


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream"],
    doc_md=__doc__,
    params={
        "streams": Param(
            stream_names(),
            **STREAMS,
            description="A stream that shares its driver ends alone; the others go on.",
        ),
        "limit_seconds": Param(60, **LIMIT_SECONDS),
    },
)
def stop_stream() -> None:
    stop.expand(stream=chosen())


stop_stream()
