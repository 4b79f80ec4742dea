"""The one Spark of a test process: a JVM keeps the jars and the settings that it was started with."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyspark.sql import SparkSession

from include.settings import PROJECT_ROOT
from include.spark.submission import QUICK_START, connector_jars
from tests.conftest import platform_settings

# Of no service and no other test: what hangs on the zone of a machine comes out wrong in it.
ODD_ZONE = "Asia/Kathmandu"
# Hundreds of tests generate more code than a driver does: with the JVM's 48 MiB for it, a fifth of its time went into
# throwing code away to compile it again, and into marking what had grown old on its heap.
LONG_RUN = "-XX:ReservedCodeCacheSize=240m -XX:+UseParallelGC"
_running: list[SparkSession] = []


@contextmanager
def running_spark(name: str = "tests") -> Iterator[SparkSession]:
    """Yield a session that reads Kafka, in an odd time zone: the running one, or a new one that ends with the block."""
    if _running:
        yield _running[0]
        return
    _running.append(_start(name))
    try:
        yield _running[0]
    finally:
        _running.pop().stop()


@contextmanager
def recount_spark(name: str = "tests") -> Iterator[SparkSession]:
    """Yield a recount_session of the running Spark, or of a new one that ends with the block."""
    with running_spark(name) as session:
        yield recount_session(session)


def recount_session(running: SparkSession) -> SparkSession:
    """Return a new session of a running Spark, with the settings of jobs/recount.py."""
    session = running.newSession()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session


def _start(name: str) -> SparkSession:
    jars = connector_jars(platform_settings())
    # It tells of each connection that it closes, even after pytest has closed the stream to tell it to.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        return (
            SparkSession.builder.master("local[2]")
            .appName(name)
            .config("spark.jars", jars)
            .config("spark.executorEnv.PYTHONPATH", str(PROJECT_ROOT))
            .config("spark.driver.memory", "1536m")
            .config("spark.driver.extraJavaOptions", f"{QUICK_START} {LONG_RUN}")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.session.timeZone", ODD_ZONE)
            .config("spark.sql.shuffle.partitions", "2")
            .getOrCreate()
        )
