"""A Spark in this process and a job on topics and tables of its own, for the tests of the streaming driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from include.settings import Settings
from include.warehouse.client import connect
from tests.conftest import platform_settings
from tests.helpers import ad_events
from tests.leftovers import remove_stale
from tests.spark import recount_session, running_spark
from tests.streams import Job


@pytest.fixture(scope="session", autouse=True)
def _leftovers() -> None:
    """Remove what interrupted runs left behind."""
    remove_stale(platform_settings())


@pytest.fixture(scope="session")
def local_spark() -> Iterator[SparkSession]:
    """The Spark of this process, in an odd time zone."""
    with running_spark() as session:
        yield session


@pytest.fixture(scope="session")
def spark(local_spark: SparkSession) -> SparkSession:
    """A session of it with the settings of the recount."""
    return recount_session(local_spark)


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
