"""# Stop a stream

Asks the driver of each chosen stream to commit its current batch and end. Nothing is lost and
nothing is doubled: the ledger is the checkpoint from which `launch_stream` goes on. Trigger it
before maintenance. A driver that does not answer within the limit is killed, and the log says so.

Running it twice: a stream that does not run is reported as absent and left alone.

**Triage**
- *killed* in the summary: the driver hung, for instance on a ClickHouse that did not answer. No data is harmed.
- *its driver also runs …*: the driver carries another healthy stream, and killing it would end that too.
  Stop them together.
- *still active … after its kill*: the worker is gone or hung. Look at the Spark master's page.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.summary import log_summary

STREAMS = stream_names()


@task
def chosen(params: dict[str, Any]) -> list[str]:
    return sorted(params["streams"])


@task(map_index_template="{{ stream }}")
def stop(stream: str, params: dict[str, Any]) -> dict[str, Any]:
    from include.settings import get_settings
    from include.spark.stop import request_stop

    report = asdict(request_stop(get_settings(), stream, params["limit_seconds"]))
    log_summary(f"stop {stream}: {report['outcome']}", report)
    return report


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
            title="Streams", description="Streams that share a driver are best stopped together.",
        ),
        "limit_seconds": Param(
            60, type="number", minimum=5, maximum=600, title="Limit",
            description="Seconds until a driver that does not answer is killed.",
        ),
    },
)  # fmt: skip
def stop_stream() -> None:
    stop.expand(stream=chosen())


stop_stream()
