"""Where the local platform keeps things and on which ports it listens (loopback only)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from include.settings import PROJECT_ROOT

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Every port that a service of the platform listens on."""

    kafka: int = 9092
    kafka_controller: int = 9093
    clickhouse: int = 9000
    clickhouse_http: int = 8123
    spark_master: int = 7077
    spark_rest: int = 6066
    spark_master_ui: int = 8180
    spark_worker_ui: int = 8181
    airflow: int = 8080


@dataclass(frozen=True)
class Layout:
    """Folders and files of the local platform."""

    project: Path = PROJECT_ROOT
    ports: Ports = field(default_factory=Ports)

    @property
    def home(self) -> Path:
        """The folder that `make clean` removes."""
        return self.project / ".local"

    @property
    def run(self) -> Path:
        """Process id files, one per service."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.home / "logs"

    @property
    def secrets(self) -> Path:
        """The generated passwords (mode 600)."""
        return self.home / "secrets.json"

    @property
    def env_file(self) -> Path:
        """The settings as shell exports (mode 600)."""
        return self.home / "env"

    @property
    def kafka_jars(self) -> Path:
        """The Kafka broker's class path."""
        return self.home / "jars" / "kafka"

    @property
    def spark_jars(self) -> Path:
        """What Spark needs beyond its own jars to read Kafka."""
        return self.home / "jars" / "spark"

    @property
    def python(self) -> Path:
        """The interpreter that runs every Python process of the platform."""
        return Path(sys.executable)

    @property
    def pyspark(self) -> Path:
        """The folder of the installed pyspark, which is SPARK_HOME.

        Raises:
            ModuleNotFoundError: pyspark is not installed in this environment.
        """
        spec = find_spec("pyspark")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("pyspark is not installed here; run `make up`, which installs it")
        return Path(spec.origin).parent
