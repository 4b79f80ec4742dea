"""# Replay dead letters

Judges rejected records of a stream again, under today's contract. Those that now pass are approved; the streaming job
folds each of them once, within seconds, and their hours are sealed again. The rest stay rejected. Trigger it after a
contract was widened, `prepare_platform` has kept its new version, and `restart_stream` has put it into force.

Records are read again from Kafka. One that has expired there is not replayed, even where its payload is still kept:
its hour could not be proved again.

Running it twice: what was approved or replayed is not judged again, so that nothing counts twice.

**Triage**: task `judge` shows how many records passed, were rejected again, and cannot be judged, by reason; task
`await_folding` how many were folded, and the hours that `reconcile_hour` seals again.
- *nothing passed*: the contract rejects them still. Malformed records, and future or stale ones under the same skew and
  maximum age, never pass: widen the contract under a new version first, as above.
- *the stream does not run*: what was approved is folded at its next launch, and the hourly `reconcile_hour` takes the
  hours.
- *not folded within …*: its driver runs under an older contract; trigger `restart_stream`. Nothing is lost meanwhile.
- *was changed … after records were judged by it*: a contract was edited without a new version; the message says how.
- *was not delivered*, *no Kafka broker answered*: Kafka is down; trigger again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, task

from include.contracts import stream_names
from include.replay import steps

STREAMS = stream_names()
REASONS = ["malformed", "schema", "future", "stale"]
TIME = {"type": ["null", "string"], "format": "date-time"}


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "platform", "retries": 0},
    tags=["platform", "stream", "proof"],
    doc_md=__doc__,
    params={
        "stream": Param(STREAMS[0], enum=STREAMS, title="Stream", description="Whose rejected records."),
        "reasons": Param(
            REASONS, type="array", items={"enum": REASONS}, minItems=1, examples=REASONS, title="Reasons",
            description="Why they were rejected.",
        ),
        "from_time": Param(None, **TIME, title="From", description="First Kafka time; empty: the first there is."),
        "to_time": Param(None, **TIME, title="To", description="Kafka time before which they arrived; empty: all."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would pass."),
        "limit_seconds": Param(
            180, type="number", minimum=5, maximum=600, title="Limit",
            description="Seconds to wait until the stream has folded what was approved, 5 to 600.",
        ),
    },
)  # fmt: skip
def replay_dead_letters() -> None:
    judged = task(steps.judge, retries=1, retry_delay=timedelta(seconds=30))()  # type: ignore[call-arg]
    forms = task(steps.await_folding)(judged)  # type: ignore[call-arg]
    again = TriggerDagRunOperator.partial(
        task_id="seal_again",
        trigger_dag_id="reconcile_hour",
        map_index_template="{{ task.conf['from_hour'] }}",
    )
    again.expand(conf=forms)


replay_dead_letters()
