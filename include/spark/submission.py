"""The command lines, Spark configuration and environment of the platform's jobs.

Pure: builds values and starts nothing. The operators in launch.py and recount.py hand them to spark-submit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from include.settings import PROJECT_ROOT, Settings

STREAM_JOB = PROJECT_ROOT / "jobs" / "stream.py"
RECOUNT_JOB = PROJECT_ROOT / "jobs" / "recount.py"
SHARED_CONF = {
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.log.level": "WARN",
}
# A driver only plans and waits: the second compiler would cost it more than it gives.
QUICK_START = "-XX:TieredStopAtLevel=1"
# What Spark generates for the recount is longer than the JVM compiles by default.
LONG_METHODS = "-XX:-DontCompileHugeMethods"
_SUBMIT_NAMES = ("PATH", "JAVA_HOME", "HOME", "LANG", "TMPDIR")
_JOB_NAMES = ("PYTHONPATH", "VIRTUAL_ENV", "TZ")
_JOB_PREFIXES = ("PLATFORM_", "PYSPARK_")


class MissingJarsError(FileNotFoundError):
    """A folder that should hold jars holds none."""


@dataclass(frozen=True)
class StreamLaunch:
    """One launch of the streaming job; start is `earliest` or an ISO timestamp, for new streams only.

    skip_to holds STREAM=ISO for each stream that a person lets go on past the end of its ledger.
    """

    streams: tuple[str, ...]
    launch: str
    trigger_seconds: float
    max_offsets: int
    start: str
    skip_to: tuple[str, ...] = ()

    @property
    def application_name(self) -> str:
        return application_name(self.streams)

    def arguments(self) -> list[str]:
        """Return the arguments of jobs/stream.py."""
        return [
            *("--streams", ",".join(self.streams)),
            *("--launch", self.launch),
            *("--trigger-seconds", str(self.trigger_seconds)),
            *("--max-offsets", str(self.max_offsets)),
            *("--start", self.start),
            *(part for skip in self.skip_to for part in ("--skip-to", skip)),
        ]


def application_name(streams: Sequence[str]) -> str:
    """Return the Spark application name of the driver of these streams."""
    return "stream-" + "+".join(streams)


def streams_of(name: str) -> frozenset[str]:
    """Return the streams that an application name tells of; empty for other applications."""
    return frozenset(name.removeprefix("stream-").split("+")) if name.startswith("stream-") else frozenset()


def connector_jars(settings: Settings) -> str:
    """Return the Kafka connector's jars, comma separated, as `--jars` takes them.

    Raises:
        MissingJarsError: PLATFORM_SPARK_JARS is not set or its folder holds no jar.
    """
    folder = Path(settings.spark_jars)
    jars = sorted(folder.glob("*.jar")) if settings.spark_jars else []
    if not jars:
        raise MissingJarsError(
            f"no Kafka connector jar in PLATFORM_SPARK_JARS={settings.spark_jars!r}: "
            "`make up` fetches them; elsewhere name the folder that holds them"
        )
    return ",".join(str(jar) for jar in jars)


def spark_core_jar() -> str:
    """Return the path of Spark's own core jar, which holds SparkSubmit, without importing pyspark."""
    spec = find_spec("pyspark")
    folders = [Path(path) / "jars" for path in (spec.submodule_search_locations or [])] if spec else []
    jars = [jar for folder in folders for jar in sorted(folder.glob("spark-core_*.jar"))]
    if not jars:
        raise MissingJarsError(f"no spark-core jar in {folders}: install the package pyspark")
    return str(jars[0])


def stream_conf(settings: Settings) -> dict[str, str]:
    """Return the Spark configuration of the streaming application (memory in MiB)."""
    cores = str(settings.stream_cores)
    return SHARED_CONF | {
        "spark.cores.max": cores,
        "spark.executor.cores": cores,
        "spark.executor.memory": f"{settings.stream_executor_memory_mb}m",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        "spark.python.worker.reuse": "true",
    }


def recount_conf(settings: Settings) -> dict[str, str]:
    """Return the Spark configuration of the recount, its master and memory apart."""
    return SHARED_CONF | {
        "spark.cores.max": str(settings.recount_cores),
        "spark.driver.extraJavaOptions": QUICK_START,
        "spark.executor.extraJavaOptions": LONG_METHODS,
    }


def stream_arguments(settings: Settings, launch: StreamLaunch) -> list[str]:
    """Return the inner spark-submit arguments, which the driver's own SparkSubmit reads on the worker.

    PySpark is refused in cluster mode on a standalone cluster, so that the outer submission's main
    class is SparkSubmit itself, and this inner one runs in client mode inside the driver's JVM.
    """
    conf = [part for item in stream_conf(settings).items() for part in ("--conf", "=".join(item))]
    return [
        *("--master", settings.spark_master),
        *("--deploy-mode", "client"),
        *("--name", launch.application_name),
        *("--jars", connector_jars(settings)),
        *conf,
        str(STREAM_JOB),
        *launch.arguments(),
    ]


def submit_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what spark-submit itself needs of an environment: no settings, no passwords.

    Spark's REST protocol carries SPARK_* into the driver; everything else comes from the worker.
    """
    kept = {name: environ[name] for name in _SUBMIT_NAMES if name in environ}
    kept |= {name: value for name, value in environ.items() if name.startswith("SPARK_")}
    kept["PATH"] = f"{Path(sys.executable).parent}:{environ.get('PATH', '/usr/bin:/bin')}"
    return kept


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a job that runs beside Airflow: also its settings, nothing of Airflow's."""
    kept = {name: environ[name] for name in _JOB_NAMES if name in environ}
    kept |= {name: value for name, value in environ.items() if name.startswith(_JOB_PREFIXES)}
    kept.setdefault("PYSPARK_PYTHON", sys.executable)
    kept.setdefault("PYTHONPATH", str(PROJECT_ROOT))
    return submit_environment(environ) | kept
