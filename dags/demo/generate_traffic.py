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
# As in include/traffic/shapes.py, which is not read when the DAG is parsed; a test compares the two.
INCIDENTS = ["", "wild_user", "offline_phone", "slow_service", "error_burst", "scanning_ip", "ddos"]
INCIDENT = (
    "What goes wrong in one minute. user_events: wild_user (over 50 events in 5 min), offline_phone (delivers 15 min "
    "late). logs: slow_service, error_burst, scanning_ip (over 1000 requests to over 5 services), ddos. The report "
    "names whom it strikes, when, and the alerts that must follow."
)


def _number(default: float, title: str, description: str, most: float, least: float = 0) -> Param:
    return Param(default, type="number", minimum=least, maximum=most, title=title, description=description)


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=4,
    default_args={"owner": "platform", "retries": 0},
    tags=["demo"],
    doc_md=__doc__,
    params={
        "stream": Param("ad_events", enum=stream_names(), title="Stream", description="Whose events."),
        "rate": Param(
            None,
            type=["null", "number"],
            minimum=0.1,
            maximum=100_000,
            title="Rate",
            description="Records per second of event time. Empty: 82 for ad_events, 30 user_events, 50 logs.",
        ),
        "duration": _number(
            60.0, "Duration", "In seconds; 5,000,000 records at most.", most=604_800, least=1
        ),
        "start": Param(None, type=["null", "string"], format="date-time", title="Start", description=START),
        "seed": Param(1, type="integer", minimum=0, title="Seed", description="Same seed, same traffic."),
        "malformed": _number(0.0, "Malformed", "Share of torn records.", most=0.5),
        "schema_breaking": _number(0.0, "Schema-breaking", "Share that breaks the contract.", most=0.5),
        "duplicate": _number(0.0, "Duplicate", "Share that repeats an earlier event.", most=0.5),
        "late": _number(0.0, "Late", "Share that is later than allowed, up to 15 min.", most=0.5),
        "future": _number(0.0, "Future-dated", "Share dated 2 min to 2 h ahead of arrival.", most=0.5),
        "incident": Param("", enum=INCIDENTS, title="Incident", description=INCIDENT),
    },
)
def generate_traffic() -> None:
    @task
    def generate(params: dict[str, Any] | None = None) -> dict[str, Any]:
        from include.refusal import refuse
        from include.traffic.plan import PlanError, parse_plan
        from include.traffic.run import generate as send

        try:
            return send(parse_plan(params or {})).as_dict()
        except PlanError as error:
            refuse(error)

    generate()


generate_traffic()
