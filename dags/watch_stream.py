"""# Watch the streams

Every minute, for each stream: a live driver in the master's view and exactly one, the age of its heartbeat and of its
last commit, lag per partition, freshness, and whether the served deltas of the last hour add up to the ledger. One row
a stream goes to the table `stream_checks`; the log of `check` ends in a summary. A healthy minute is that one task.
It also tells people of critical alerts (view `alerts_current`), once for each run of them, and when they are over.

What ought to run is what a person last ordered through `launch_stream` or `stop_stream`. A stream that is *gone* or
*stalled* is launched again with the parameters of that order, at most 3 times in 15 minutes; of a *doubled* one the
older driver is ended. After the third vain relaunch the watch gives up until a person launches the stream.

Running it twice: a second row a stream; nothing is relaunched that runs or is being launched.

**Triage**: `confirm` fails when a stream is not healthy and was not repaired; the message has figures and what to do.
- *gone* or *stalled*: the next minutes try again by themselves. Task `relaunch` has the end of the driver's log.
- *gave up*: three relaunches did not help. Mend the cause, then trigger `launch_stream`.
- *does not answer*: the Spark master or Kafka is down. The stream goes on by itself when it is back.
- *served figures … differ from its ledger*: rows of the delta tables are lost or doubled; run `reconcile_hour`.
- *detector … does not run*: its file or its SQL is wrong; the incident names the fault, and the others run.
- `check` itself fails: ClickHouse is down, and nothing can be known. The stream waits for it and goes on by itself.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from include.alerts.notifier import IncidentNotifier
from include.spark.launch import LaunchStreamOperator
from include.watch import steps

LIMIT = timedelta(minutes=2)


@dag(
    schedule="* * * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream"],
    doc_md=__doc__,
)
def watch_stream() -> None:
    told = {"execution_timeout": LIMIT, "on_failure_callback": IncidentNotifier()}
    checked = task.short_circuit(steps.check, **told)()  # type: ignore[call-arg]
    launches = task(steps.launches)(checked)
    relaunch = LaunchStreamOperator.partial(
        task_id="relaunch", map_index_template="{{ task.streams }}"
    ).expand_kwargs(launches)
    confirmed = task(steps.confirm, trigger_rule="all_done", **told)(checked)  # type: ignore[call-arg]
    relaunch >> confirmed


watch_stream()
