"""A Spark in this process and a job on topics and tables of its own, for the tests of the streaming driver."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from include.settings import PROJECT_ROOT, Settings
from include.spark.submission import connector_jars
from include.warehouse.client import connect
from tests.conftest import platform_environment
from tests.helpers import ad_events
from tests.streams import Job


@pytest.fixture(scope="module")
def local_spark() -> Iterator[SparkSession]:
    jars = connector_jars(Settings(spark_jars=platform_environment()["PLATFORM_SPARK_JARS"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = (
            SparkSession.builder.master("local[2]")
            .appName("test-stream")
            .config("spark.jars", jars)
            .config("spark.executorEnv.PYTHONPATH", str(PROJECT_ROOT))
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "Asia/Kathmandu")
            .config("spark.sql.shuffle.partitions", "2")
            .getOrCreate()
        )
        yield session
        session.stop()


@pytest.fixture
def job(
    local_spark: SparkSession, control_topic: Settings, kafka_topic: str, tmp_path: Path
) -> Iterator[Job]:
    """A job without drivers; those that a test starts are ended with it."""
    contract = ad_events()
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": kafka_topic})})
    settings = control_topic.model_copy(update={"scratch_dir": tmp_path})
    found = Job(local_spark, settings, contract, connect(settings))
    yield found
    found.close()
