"""Traffic with incidents through the real driver: each incident raises its alerts in time, calm traffic none.

The z-score rule fires by chance: how often is counted, and told beside what chance gives.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import load_contract
from include.detect.detection import Detection
from include.detect.judge import count_verdicts
from include.detect.load import load_detectors
from include.settings import Settings
from include.streaming.ledger import read_commit_state
from include.topics.offsets import Offsets
from include.traffic import generator_for
from include.traffic.incidents import ExpectedAlert
from include.traffic.plan import parse_plan
from include.traffic.run import send_run
from include.traffic.send import Sender
from include.warehouse.client import connect
from tests.helpers import eventually
from tests.streams import LIMIT_SECONDS, Job

IN_TIME_MS = 5_000
MINUTES = {"": 30, "offline_phone": 18}  # of a run; others take 8
RATE = {"logs": 30, "user_events": 10}
CHANCE = 0.089
log = logging.getLogger(__name__)


@dataclass
class Scene:
    """A stream with its driver and its detectors, and the time of the next run: each follows the one before."""

    job: Job
    detection: Detection
    moment: datetime

    @property
    def client(self) -> Client:
        return self.job.client

    def send(self, incident: str = "") -> tuple[tuple[ExpectedAlert, ...], int]:
        """Replay a run; return the alerts that must follow and when all of it was queryable, epoch milliseconds."""
        contract, settings = self.job.contract, self.job.settings
        minutes = MINUTES.get(incident, 8)
        plan = parse_plan(
            {
                "stream": contract.stream,
                "rate": RATE[contract.stream],
                "duration": minutes * 60,
                "start": self.moment,
                "incident": incident,
            }
        )
        sender = Sender(settings.kafka_bootstrap_servers, contract.topic.name)
        start_us = int(self.moment.timestamp()) * 1_000_000
        account = send_run(sender, generator_for(contract.stream), plan, start_us, sender.count_partitions())
        self.moment += timedelta(minutes=minutes)
        ends = Offsets(settings, contract.topic.name).ends()

        def committed() -> bool:
            frontier = read_commit_state(self.client, contract.stream).frontier
            return all(frontier.get(partition, 0) >= end for partition, end in ends.items())

        eventually(committed, f"the ledger reached {ends}", LIMIT_SECONDS)
        queryable = int(time.time() * 1000)
        facts = account.report.incident
        return (facts.alerts if facts else ()), queryable

    def alerts(self) -> dict[ExpectedAlert, int]:
        """Return every alert and when it fired, epoch milliseconds."""
        rows = self.client.execute(
            "SELECT detector, stream, window_start, window_end, subject, fired_ms FROM alerts FINAL"
        )
        return {
            ExpectedAlert(d, s, first.replace(tzinfo=UTC), end.replace(tzinfo=UTC), subject): fired
            for d, s, first, end, subject, fired in rows
        }

    def await_judged(self) -> None:
        """Wait until nothing is left that could be judged now."""
        eventually(lambda: self.detection.rests, "the detectors have nothing left", 60)


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    local_spark: SparkSession,
    control_topic: Settings,
    kafka_topic: str,
    tmp_path: Path,
) -> Iterator[Scene]:
    contract = load_contract(request.param)
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    settings = control_topic.model_copy(update={"scratch_dir": tmp_path})
    job = Job(local_spark, settings, contract, connect(settings))
    driver = job.start()
    job.watch(driver)
    detection = Detection(settings, contract, driver.vitals)
    detection.start()
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    yield Scene(job, detection, hour - timedelta(hours=6))
    detection.end()
    job.close()
    detection.join(30)
    assert not detection.is_alive()


@pytest.mark.parametrize(
    ("scene", "incidents"),
    [
        ("logs", ("slow_service", "error_burst", "scanning_ip", "ddos")),
        ("user_events", ("wild_user", "offline_phone")),
    ],
    indirect=["scene"],
    ids=["logs", "user_events"],
)
def test_each_incident_raises_its_alerts_in_time_and_calm_traffic_none(
    scene: Scene, incidents: tuple[str, ...]
) -> None:
    scene.send()
    scene.await_judged()
    by_chance = {alert for alert in scene.alerts() if alert.detector == "response_time_anomaly"}
    assert set(scene.alerts()) - by_chance == set(), "calm traffic raises nothing else"
    if scene.job.contract.stream == "logs":
        found = load_detectors().detectors["response_time_anomaly"]
        end = int(scene.moment.timestamp())
        judged, fired = count_verdicts(scene.client, found, end - 1800, end)
        log.warning(
            "z-score: %d of %d calm verdicts fired, %.1f %%; by chance %.1f %%",
            fired,
            judged,
            100 * fired / judged,
            100 * CHANCE,
        )
        assert judged > 200
        assert fired / judged < 2 * CHANCE
    expected: set[ExpectedAlert] = set()
    for incident in incidents:
        wanted, queryable = scene.send(incident)
        assert wanted, incident
        expected |= set(wanted)

        def fired_all(wanted: tuple[ExpectedAlert, ...] = wanted) -> bool:
            return set(wanted) <= set(scene.alerts())

        eventually(fired_all, f"{wanted} have fired; there are {sorted(scene.alerts(), key=str)}", 30)
        waited = {alert.detector: scene.alerts()[alert] - queryable for alert in wanted}
        assert max(waited.values()) < IN_TIME_MS, waited
    scene.await_judged()
    found_too = {alert for alert in scene.alerts() if alert.detector != "response_time_anomaly"}
    assert found_too == {alert for alert in expected if alert.detector != "response_time_anomaly"}
