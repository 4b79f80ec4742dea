"""The one typed model of every setting, read from environment variables that begin with PLATFORM_.

Owns: names, units, defaults and bounds of settings. Leaves to others: what the values are
on a given machine (include/local writes `.local/env`, docker-compose.yml sets the same names).
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "PLATFORM_"
PROJECT_ROOT = Path(__file__).resolve().parents[1]


class UnknownSettingError(ValueError):
    """An environment variable begins with PLATFORM_ but names no setting."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"unknown setting(s) {', '.join(names)}: every PLATFORM_ variable must be one of "
            "those in .env.example; correct the name or remove it from the environment"
        )


class Settings(BaseSettings):
    """Settings of the platform; each field `x` is read from `PLATFORM_X`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Kafka brokers as host:port, comma separated."
    )
    kafka_replication_factor: int = Field(
        1, ge=1, le=9, description="Copies of each partition of the topics that are created."
    )
    control_topic: str = Field(
        "platform-control", description="Topic of one partition that hands out generations and seal numbers."
    )
    files_topic: str = Field(
        "platform-files", description="Topic of one partition that says which files were published."
    )

    clickhouse_host: str = Field("127.0.0.1", description="ClickHouse server, native protocol.")
    clickhouse_port: int = Field(9000, ge=1, le=65535, description="ClickHouse native protocol port.")
    clickhouse_database: str = Field(
        "platform", pattern=r"^[a-z][a-z0-9_]*$", description="Database that holds every table and view."
    )
    clickhouse_user: str = Field("platform", description="ClickHouse user that reads and writes.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Password of clickhouse_user.")

    spark_master: str = Field("spark://127.0.0.1:7077", description="Spark master for applications.")
    spark_master_ui: str = Field(
        "http://127.0.0.1:8180", description="Spark master's web address; /json/ lists the drivers."
    )
    spark_rest: str = Field(
        "http://127.0.0.1:6066", description="Spark master's REST server, which starts and kills drivers."
    )
    spark_jars: str = Field(
        "", description="Folder of the Kafka connector jars, the same path on every Spark machine."
    )
    stream_cores: int = Field(1, ge=1, description="Executor cores of the streaming job.")
    stream_executor_memory_mb: int = Field(
        768, ge=512, description="JVM memory of a streaming executor, MiB."
    )
    stream_driver_memory_mb: int = Field(768, ge=512, description="JVM memory of the streaming driver, MiB.")
    recount_cores: int = Field(2, ge=1, description="Executor cores of a recount.")
    max_offsets_per_batch: int = Field(
        500_000, ge=1_000, le=2**20, description="Most offsets that one micro-batch of a stream takes."
    )
    heartbeat_seconds: float = Field(2.0, gt=0, le=10, description="Seconds between heartbeat rows.")
    scratch_dir: Path = Field(
        Path("/tmp/platform-scratch"),
        description="Folder for Spark's throw-away checkpoints; losing it costs nothing.",
    )

    grace_seconds: float = Field(
        5.0,
        ge=0,
        description="Seconds between the last sealed row and its certificate; readers' queries are shorter.",
    )
    repair: Literal["auto", "ask", "never"] = Field(
        "auto",
        description="What reconcile_hour does with served figures that differ: mend them, ask a person first, report.",
    )
    artifacts_dir: Path = Field(
        PROJECT_ROOT / ".local" / "artifacts", description="Folder for Data Docs and reports."
    )
    inbox: Path = Field(
        PROJECT_ROOT / ".local" / "inbox",
        description="Folder of files to publish, with a folder named after each stream.",
    )
    notifiers: str = Field(
        "[]",
        description='Who is told of incidents: JSON list of {"class": an Airflow notifier, "arguments": {...}}.',
    )
    allow_inject_drift: bool = Field(
        False, description="Whether the inject_drift DAG may damage served data. Never on in production."
    )


def _unknown(environ: dict[str, str]) -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        UnknownSettingError: a PLATFORM_ variable names no setting.
        pydantic.ValidationError: a value is of the wrong type or out of bounds.
    """
    unknown = _unknown(dict(os.environ))
    if unknown:
        raise UnknownSettingError(unknown)
    return Settings()
