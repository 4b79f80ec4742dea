"""Alerts of a real hour: found in deltas as they came, and judged again by reconcile_hour once the hour is sealed.

Copies count until the seal: an alert that they alone made true is retracted, and a jump that they hid is raised. What
came while no detector ran is raised too. One recount takes the hour of both streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import Contract, load_contract
from include.detect.detection import Detection
from include.detect.store import CONFIRMED, PROVISIONAL, RAISED, RETRACTED
from include.reconcile import steps
from include.reconcile.types import PROVED
from include.settings import get_settings
from include.streaming.partials import HOURS
from include.streaming.vitals import Vitals
from tests.reconciling import HOUR, Stream
from tests.together import Together, streams_together

Records = list[tuple[bytes | None, datetime]]
PARTITIONS = 4  # of the topics of Stream
AFTER = HOUR + timedelta(minutes=70)  # by then the hour can be closed
CAME = {CONFIRMED: 5, RETRACTED: 20, RAISED: 35}  # the minute in which that begins which ends so
SUBJECTS = {
    "suspicious_ip": "scan",
    "ddos": "flood",
    "error_rate_spike": "errors",
    "response_time_anomaly": "slow",
    "busy_user": "busy",
    "late_user": "late",
}
HIDDEN = ("error_rate_spike", "errors-hidden")


def minutes(number: float) -> datetime:
    return HOUR + timedelta(minutes=number)


def request(number: int, service: str, moment: datetime, **more: object) -> tuple[bytes, datetime]:
    """Return a request of a service, and when it came; its id is of service, moment and number."""
    said = {
        "timestamp": moment.isoformat(),
        "service": service,
        "status_code": 200,
        "request_id": f"{service} {moment} {number}",
        **more,
    }
    return json.dumps(said).encode(), moment


def action(number: int, user: str, moment: datetime, came: datetime) -> tuple[bytes, datetime]:
    """Return what a user did at a moment, and when it came; it is known by user, moment and number."""
    said = {
        "timestamp": int(moment.timestamp() * 1000),
        "user_id": user,
        "session_id": str(number),
        "action": "view",
        "value": 0,
    }
    return json.dumps(said).encode(), came


def requests_of(state: str) -> Records:
    """Return what each rule of logs finds true; of RETRACTED, only as long as copies count."""
    at, copied = CAME[state], state == RETRACTED
    scan = [
        request(n, f"s{n % 6}", minutes(at + n / 250), ip_address=f"scan-{state}", user_id=f"u{n % 7}")
        for n in range(1001 - copied)
    ]
    flood = [request(n, "shop", minutes(at), ip_address=f"flood-{state}") for n in range(101 - copied)]
    errors = jump(f"errors-{state}", at, 0, 4 - 2 * copied)
    again = [*scan[:copied], *flood[:copied], *errors[len(errors) - 2 * copied :]]
    return [*scan, *flood, *errors, *again, *slow_minute(state)]


def slow_minute(state: str) -> Records:
    """Return a minute that is slower than the three before it; of RETRACTED, by the copies of one request alone."""
    at, service, copied = CAME[state], f"slow-{state}", state == RETRACTED
    before = [
        request(0, service, minutes(at + n), response_time=seconds)
        for n, seconds in enumerate((0.1, 0.11, 0.09))
    ]
    usual = [request(n, service, minutes(at + 3), response_time=0.1) for n in range(9)]
    slow = request(9, service, minutes(at + 3), response_time=0.19 if copied else 1)
    return [*before, *usual, *[slow] * (10 if copied else 1)]


def jump(service: str, at: int, before: int, failed: int) -> Records:
    """Return two minutes of 28 requests, of which so many fail, the failed ones of each minute last."""
    return [
        request(n, service, minutes(at + minute), status_code=500 if n >= 28 - bad else 200)
        for minute, bad in enumerate((before, failed))
        for n in range(28)
    ]


def hidden_jump() -> Records:
    """Return a jump of more than 10 points, of fewer with the copies of what failed in the minute before."""
    found = jump(HIDDEN[1], CAME[CONFIRMED], 2, 6)
    return [*found, *found[26:28]]


def actions_of(state: str) -> Records:
    """Return what each rule of user_events finds true; of RETRACTED, only as long as copies count."""
    at, copied = minutes(CAME[state]), state == RETRACTED
    busy = [action(n, f"busy-{state}", at, at) for n in range(51 - copied)]
    late = [action(n, f"late-{state}", at, at + timedelta(minutes=10)) for n in range(6 - copied)]
    return [*busy, *busy[:copied], *late, *late[:copied]]


@pytest.fixture
def stage(local_spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Together]:
    """Both streams, and the settings and the context that a task of Airflow has."""
    contracts = [load_contract(stream) for stream in ("logs", "user_events")]
    with streams_together(local_spark, [with_partitions(found) for found in contracts], tmp_path) as found:
        monkeypatch.setenv("PLATFORM_CLICKHOUSE_DATABASE", found.settings.clickhouse_database)
        monkeypatch.setenv("PLATFORM_ARTIFACTS_DIR", str(found.settings.artifacts_dir))
        monkeypatch.setenv("PLATFORM_NOTIFIERS", "[]")
        monkeypatch.setenv("AIRFLOW_VAR_INCIDENTS_TOLD_WITHOUT_WAREHOUSE", "{}")
        monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"run_id": "manual"})
        get_settings.cache_clear()
        yield found


def with_partitions(contract: Contract) -> Contract:
    return contract.model_copy(update={"topic": contract.topic.model_copy(update={"partitions": PARTITIONS})})


def started(stage: Together, stream: str) -> Stream:
    found = Stream(stage.settings, stage.client, stage.load(stream), stage.spark)
    found.start()
    return found


def detect(stage: Together, stream: str) -> None:
    """Have a driver's detectors judge all that the ledger's newest batches touched."""
    vitals = Vitals(stream, "", frontier={0: 1}, ends={0: 2})
    contract = stage.load(stream)
    latest = pa.table({"latest_us": [int(AFTER.timestamp()) * 1_000_000]})
    vitals.touched.add(contract, {HOURS: latest})
    detection = Detection(stage.settings, contract, vitals)
    detection.prepare()
    detection.round()
    assert detection.rests, "something is left that could be judged"


def alerts(client: Client) -> dict[tuple[str, str], set[str]]:
    """Return the states of the alerts of each detector and subject."""
    rows = client.execute(
        "SELECT detector, subject, groupUniqArray(state) FROM alerts_current GROUP BY detector, subject"
    )
    return {(detector, subject): set(states) for detector, subject, states in rows}


def ending(*states: str) -> set[tuple[str, str]]:
    """Return detector and subject of every alert that ends so."""
    return {(detector, f"{name}-{state}") for detector, name in SUBJECTS.items() for state in states}


def test_alerts_of_every_detector_are_judged_again_by_the_run_that_seals_their_hour(stage: Together) -> None:
    logs, users = started(stage, "logs"), started(stage, "user_events")
    for state in (CONFIRMED, RETRACTED):
        logs.send(requests_of(state))
        users.send(actions_of(state))
    logs.send([*hidden_jump(), *(request(n, "shop", AFTER) for n in range(PARTITIONS))])
    users.send([action(n, "u", AFTER, AFTER) for n in range(PARTITIONS)])
    for stream in (logs, users):
        stream.fold()
        detect(stage, stream.contract.stream)
    assert alerts(stage.client) == {key: {PROVISIONAL} for key in ending(CONFIRMED, RETRACTED)}
    logs.send(requests_of(RAISED))
    users.send(actions_of(RAISED))
    for stream in (logs, users):
        stream.fold()
    lines = stage.reconcile(HOUR, HOUR)
    assert {(line.stream, line.verdict) for line in lines} == {("logs", PROVED), ("user_events", PROVED)}
    assert {state for states in alerts(stage.client).values() for state in states} == {PROVISIONAL}
    ((run,),) = stage.client.execute("SELECT DISTINCT run FROM verdicts")
    steps.require_proof(run)
    judged = {subject: {state} for state in CAME for subject in ending(state)} | {HIDDEN: {RAISED}}
    assert alerts(stage.client) == judged
    rows = stage.client.execute("SELECT count() FROM alerts")
    steps.require_proof(run)
    assert stage.client.execute("SELECT count() FROM alerts") == rows, "judged again, nothing is new"
