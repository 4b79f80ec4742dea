"""Where the local platform keeps things and on which ports it listens (loopback only)."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from include.local.service import LocalPlatformError
from include.settings import PROJECT_ROOT

HOST = "127.0.0.1"
PORT_OFFSET = "LOCAL_PORT_OFFSET"
HIGHEST_OFFSET = 50_000


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

    @classmethod
    def from_environment(cls) -> Ports:
        """Return the ports, each raised by LOCAL_PORT_OFFSET, so that two clones can run side by side.

        Raises:
            LocalPlatformError: LOCAL_PORT_OFFSET is no number from 0 to 50000.
        """
        text = os.environ.get(PORT_OFFSET) or "0"
        if not text.isdecimal() or int(text) > HIGHEST_OFFSET:
            raise LocalPlatformError(
                f"{PORT_OFFSET}={text!r} is no number from 0 to {HIGHEST_OFFSET}: correct or unset it"
            )
        return cls(**{name: port + int(text) for name, port in asdict(cls()).items()})


@dataclass(frozen=True)
class Layout:
    """Folders and files of the local platform."""

    project: Path = PROJECT_ROOT
    ports: Ports = field(default_factory=Ports.from_environment)

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
