"""The stage of every chaos test: steady traffic, damage, recovery, and what must hold at the end."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx

from include.local.damage import SparkProcess
from include.local.recovery import Recovery
from include.settings import Settings
from include.spark.cluster import read_cluster
from include.spark.orders import LAUNCH, Order, record_all
from include.spark.submission import QUICK_START, StreamLaunch, spark_core_jar, stream_arguments
from include.traffic.steady import SteadyTraffic
from tests.helpers import eventually
from tests.system.conftest import STREAM, Platform

RATE = 2_000
# No duplicates: an hour that is sealed meanwhile counts them once, and what is expected would depend on the moment.
SHARES = {"late": 0.01, "malformed": 0.001}
SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns())
LIMIT_SECONDS = 300
# A busy machine may take that long for a batch; how fast a quiet one recovers is benchmarks/recovery.py's to say.
NORMAL_SECONDS = 15


@dataclass(frozen=True)
class Scene:
    """Traffic under way, and the stream that keeps up with it."""

    platform: Platform
    traffic: SteadyTraffic

    def recovered(self, what: str, limit_seconds: float = LIMIT_SECONDS) -> float:
        """Wait until the stream has caught up; say and return how long it took from this call."""
        seconds = Recovery(self.platform.settings, self.platform.contract).wait(limit_seconds, NORMAL_SECONDS)
        print(f"{what}: caught up after {seconds:.1f} s")
        return seconds


@contextmanager
def under_traffic(platform: Platform, rate: float = RATE) -> Iterator[Scene]:
    """Send 2,000 events a second during the block; afterwards nothing may differ and one driver is left."""
    traffic = SteadyTraffic(platform.settings, STREAM, rate, **SHARES)
    traffic.start()
    try:
        eventually(lambda: traffic.sent > 0, "traffic flows", 30)
        scene = Scene(platform, traffic)
        scene.recovered("before the damage")
        yield scene
    finally:
        traffic.stop()
    platform.catch_up()
    platform.assert_nothing_differs()
    platform.assert_one_driver(LIMIT_SECONDS)


@contextmanager
def unwatched(platform: Platform) -> Iterator[None]:
    """Keep watch_stream from acting during the block: what the drivers do by themselves is to be seen."""
    platform.api.set_paused("watch_stream", True)
    try:
        yield
    finally:
        platform.api.set_paused("watch_stream", False)


def random_moment(name: str, most_seconds: float = 4.0) -> float:
    """Return a moment of the batch cycle, the same for the same CHAOS_SEED; it is printed."""
    seconds = random.Random(f"{SEED} {name}").uniform(0, most_seconds)
    print(f"{name}: damage after {seconds:.3f} s (CHAOS_SEED={SEED})")
    return seconds


def the_driver(platform: Platform) -> SparkProcess:
    """Return the one driver's process."""
    (driver,) = platform.damage.drivers()
    return driver


def the_executor(platform: Platform) -> SparkProcess:
    """Return the one executor of the stream's application."""
    (executor,) = platform.damage.executors(STREAM)
    return executor


def driver_ids(platform: Platform) -> list[str]:
    """Return the ids under which the master knows the stream's drivers."""
    return [driver.id for driver in read_cluster(platform.settings).drivers_of(STREAM)]


def await_insert(platform: Platform) -> None:
    """Return while ClickHouse is taking a batch's deltas: between them and the ledger's rows."""
    client = platform.client()
    query = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO ad_events_delta%'"
    eventually(lambda: client.execute(query)[0][0] > 0, "an insert is under way", 60, 0)
    client.disconnect()


def longest_pause_seconds(platform: Platform, since: datetime) -> float:
    """Return the longest time between two commits since a moment, to the second."""
    client = platform.client()
    found = client.execute(
        "SELECT DISTINCT committed_at FROM ledger WHERE stream = %(stream)s AND committed_at >= %(since)s "
        "ORDER BY committed_at",
        {"stream": STREAM, "since": since},
    )
    client.disconnect()
    times = [row[0] for row in found]
    assert len(times) > 1, f"nothing was committed since {since}"
    return max((after - before).total_seconds() for before, after in itertools.pairwise(times))


def launch_directly(settings: Settings, launch: str) -> str:
    """Submit a driver past Airflow, which would look first and clean up afterwards; return the driver's id."""
    wanted = StreamLaunch((STREAM,), launch, 1.0, settings.max_offsets_per_batch, "earliest")
    ordered = Order(stream=STREAM, kind=LAUNCH, by="launch_stream", launch=launch, streams=(STREAM,))
    record_all(settings, [ordered])  # a driver whose last order is a stop does not begin
    answer = httpx.post(
        f"{settings.spark_rest}/v1/submissions/create",
        json={
            "action": "CreateSubmissionRequest",
            "clientSparkVersion": "4.2.0",
            "appResource": spark_core_jar(),
            "mainClass": "org.apache.spark.deploy.SparkSubmit",
            "appArgs": stream_arguments(settings, wanted),
            "environmentVariables": {"SPARK_LOCAL_IP": os.environ["SPARK_LOCAL_IP"]},
            "sparkProperties": {
                "spark.master": settings.spark_rest.replace("http://", "spark://"),
                "spark.submit.deployMode": "cluster",
                "spark.app.name": wanted.application_name,
                "spark.jars": spark_core_jar(),
                "spark.driver.supervise": "true",
                "spark.driver.cores": "1",
                "spark.driver.memory": f"{settings.stream_driver_memory_mb}m",
                "spark.driver.extraJavaOptions": QUICK_START,
            },
        },
        timeout=30,
    ).json()
    assert answer.get("success"), answer
    return str(answer["submissionId"])
