"""Sends made-up events of one stream to its Kafka topic: a past stretch at once, or live traffic.
Its own account per window and dimension, the truth to compare with, goes to `traffic_runs`,
`traffic_truth` and, for live traffic, `traffic_sends`; the report is the task's XCom.

**When to trigger:** for a demonstration or a test, after `prepare_platform`. Never on a production topic.
**Running it twice** sends twice: every run has event ids of its own.

**Triage**
- *traffic plan refused*: the message names the parameter and its value; correct the form.
- *no Kafka broker*, *topic does not exist*, a ClickHouse error: start the platform, run `prepare_platform`.
- *records failed*: the first reason is shown; what was sent before stays in the topic without an account.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from include.contracts import stream_names

START = "Start of a past stretch, sent at once. Empty: live, from now, in real time."


def _number(default: float, title: str, description: str, most: float, least: float = 0) -> Param:
    return Param(default, type="number", minimum=least, maximum=most, title=title, description=description)


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=2,
    default_args={"owner": "platform", "retries": 0},
    tags=["demo"],
    doc_md=__doc__,
    params={
        "stream": Param("ad_events", enum=stream_names(), title="Stream", description="Whose events."),
        "rate": _number(82.0, "Rate", "Records per second of event time.", most=100_000, least=0.1),
        "duration": _number(
            60.0, "Duration", "In seconds; 5,000,000 records at most.", most=604_800, least=1
        ),
        "start": Param(None, type=["null", "string"], format="date-time", title="Start", description=START),
        "seed": Param(1, type="integer", minimum=0, title="Seed", description="Same seed, same traffic."),
        "malformed": _number(0.0, "Malformed", "Share that is not one whole JSON object.", most=0.5),
        "schema_breaking": _number(0.0, "Schema-breaking", "Share that breaks the contract.", most=0.5),
        "duplicate": _number(0.0, "Duplicate", "Share that repeats an earlier event's id.", most=0.5),
        "late": _number(0.0, "Late", "Share that arrives 61 s to 15 min after its event time.", most=0.5),
        "future": _number(0.0, "Future-dated", "Share dated 2 min to 2 h ahead of arrival.", most=0.5),
    },
)
def generate_traffic() -> None:
    @task
    def generate(params: dict[str, Any] | None = None) -> dict[str, Any]:
        from include.traffic.plan import parse_plan
        from include.traffic.run import generate as send

        return send(parse_plan(params or {})).as_dict()

    generate()


generate_traffic()
