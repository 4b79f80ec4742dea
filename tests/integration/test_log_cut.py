"""A topic that ends before what was folded of it: the driver and the sealer say so, and nothing is dropped unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from confluent_kafka.admin import AdminClient, NewTopic

from include.reconcile.mend import ChainedLedger
from include.reconcile.stream_plan import StreamPlanner
from include.reconcile.types import DRIFTED, HourPlan
from include.streaming.ledger import LedgerRow, batch_id, insert_ledger_rows, read_commit_state, take_over
from tests.conftest import create_topic
from tests.helpers import eventually
from tests.reconciling import HOUR, event
from tests.streams import LIMIT_SECONDS, Job


def row(job: Job, end: int) -> LedgerRow:
    """Return a first batch that read partition 0 to an offset."""
    return LedgerRow(
        *(job.contract.stream, batch_id(1, 0), 0, 0, 0, end, end, 0, 0, 0, [HOUR], [end], [0], [end - 1]),
        *(int(HOUR.timestamp() * 1000), int(HOUR.timestamp() * 1000) + 5, 1),
    )


def test_a_stream_whose_topic_was_made_anew_is_refused(job: Job) -> None:
    job.send(*(json.dumps(event(n, HOUR)).encode() for n in range(40)))
    first = job.start()
    job.await_commit()
    first.vitals.stop.set()
    eventually(lambda: not first.is_alive(), f"the driver stopped ({first.vitals})", LIMIT_SECONDS)
    before = read_commit_state(job.client, "ad_events").rows
    admin = AdminClient({"bootstrap.servers": job.settings.kafka_bootstrap_servers})
    topic = job.contract.topic.name
    admin.delete_topics([topic])[topic].result(30)
    eventually(lambda: topic not in admin.list_topics(timeout=10).topics, f"{topic} is gone", 30)
    config = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": str(2**62)}
    create_topic(admin, NewTopic(topic, 4, 1, config=config))
    job.send(json.dumps(event(100, HOUR)).encode())
    again = job.start(wait=False)
    eventually(lambda: not again.is_alive(), f"the driver ended ({again.vitals})", LIMIT_SECONDS)
    assert (again.vitals.state, again.vitals.needs_person) == ("failed", True), again.vitals
    assert "the topic was made anew" in again.vitals.detail
    assert read_commit_state(job.client, "ad_events").rows == before, "records under used offsets were folded"


def test_an_hour_is_drifted_where_the_log_ends_before_the_ledger(job: Job) -> None:
    take_over(job.client, job.contract.stream, 1)
    job.send(*(json.dumps(event(n, HOUR)).encode() for n in range(8)))
    for end, verdict in ((2, None), (3, DRIFTED)):
        insert_ledger_rows(job.client, [row(job, end), replace(row(job, 2), partition=1)])
        state = read_commit_state(job.client, job.contract.stream)
        state = replace(state, rows=[*state.rows, *(replace(row(job, 2), partition=p) for p in (2, 3))])
        hour = HOUR - timedelta(hours=30)
        blank = HourPlan("run", job.contract.stream, hour, 1, 1, 1 << 40, None, 1, "auto")
        (plan,) = StreamPlanner(job.settings, job.client, job.contract, ChainedLedger(state)).plan([blank])
        assert plan.verdict == verdict, plan
    assert "partition 0 is folded to offset 3, and the log ends at 2" in plan.reason
