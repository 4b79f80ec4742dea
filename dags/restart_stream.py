"""# Restart a stream

Stops the chosen streams gracefully and launches them again where their ledgers end, by default as they were launched
last. Trigger it to take over new code, a new contract or other settings, or to change the trigger interval or the
rate limit. Streams that were launched together come back together; nothing is lost and nothing is doubled.

Running it twice stops and launches twice. A stream that does not run is launched.

**Triage**
- *stop* failed: the stream is ordered to stop and may still run. Trigger again, or see `stop_stream`.
- *launch* failed: the stream is stopped. The message ends with the driver's log; see `launch_stream`. Where a driver
  had been submitted, `watch_stream` goes on trying within its budget.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.spark import form
from include.spark.launch import LaunchStreamOperator


@task
def chosen(params: dict[str, Any]) -> list[str]:
    return sorted(set(params["streams"]))


@task(map_index_template="{{ stream }}")
def stop(stream: str, params: dict[str, Any]) -> dict[str, Any]:
    return form.stop_one(stream, params["limit_seconds"], by="restart_stream")


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream"],
    doc_md=__doc__,
    params={
        "streams": Param(stream_names(), **form.STREAMS, description="The streams to stop and launch again."),
        "trigger_seconds": Param(
            None,
            **form.optional(form.TRIGGER_SECONDS, "Seconds between micro-batches; empty: as launched last."),
        ),
        "max_offsets": Param(
            None, **form.optional(form.MAX_OFFSETS, "Most records of a micro-batch; empty: as launched last.")
        ),
        "limit_seconds": Param(60, **form.LIMIT_SECONDS),
    },
)
def restart_stream() -> None:
    plan = task(form.plan_restart, task_id="plan")()  # type: ignore[call-arg]
    launch = LaunchStreamOperator.partial(
        task_id="launch", map_index_template="{{ task.streams }}"
    ).expand_kwargs(plan)
    plan >> stop.expand(stream=chosen()) >> launch


restart_stream()
