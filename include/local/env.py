"""The environment of every process of the local platform, and `.local/env`, which exports the same.

The PLATFORM_ settings, Airflow's configuration and connections are here and nowhere else.
Settings that depend on this machine are decided here; the others keep the caller's value or default.
"""

from __future__ import annotations

import json
import os
import shlex

from pydantic import SecretStr, ValidationError

from include.local.layout import HOST, Layout
from include.local.secrets import Secrets, load_secrets, write_private
from include.local.service import LocalPlatformError
from include.settings import PREFIX, Settings, UnknownSettingError, get_settings


def _settings(layout: Layout, secrets: Secrets) -> Settings:
    ports = layout.ports
    try:
        get_settings()  # refuses unknown names; what it read lacks this machine's values
        get_settings.cache_clear()
        return Settings(
            kafka_bootstrap_servers=f"{HOST}:{ports.kafka}",
            kafka_replication_factor=1,
            clickhouse_host=HOST,
            clickhouse_port=ports.clickhouse,
            clickhouse_user="platform",
            clickhouse_password=SecretStr(secrets.clickhouse_password),
            spark_master=f"spark://{HOST}:{ports.spark_master}",
            spark_master_ui=f"http://{HOST}:{ports.spark_master_ui}",
            spark_rest=f"http://{HOST}:{ports.spark_rest}",
            spark_jars=str(layout.spark_jars),
            scratch_dir=layout.home / "scratch",
            artifacts_dir=layout.home / "artifacts",
            allow_inject_drift=True,
        )
    except UnknownSettingError as error:
        raise LocalPlatformError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise LocalPlatformError(
            f"{name}: {first['msg']}, got {first['input']!r}; see .env.example"
        ) from error


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def platform_settings(layout: Layout, secrets: Secrets) -> dict[str, str]:
    """Return every PLATFORM_ setting as an environment variable.

    Raises:
        LocalPlatformError: a PLATFORM_ variable of the caller is unknown or out of bounds.
    """
    settings = _settings(layout, secrets)
    return {PREFIX + name.upper(): _text(getattr(settings, name)) for name in Settings.model_fields}


def _connection(kind: str, host: str, port: int, **extra: str) -> str:
    return json.dumps({"conn_type": kind, "host": host, "port": port, "extra": extra})


def airflow_settings(layout: Layout, secrets: Secrets) -> dict[str, str]:
    """Return Airflow's configuration and connections as environment variables."""
    ports = layout.ports
    url = f"http://{HOST}:{ports.airflow}"
    home = layout.home / "airflow"
    sections: dict[str, dict[str, str]] = {
        "core": {
            "dags_folder": str(layout.project / "dags"),
            "executor": "LocalExecutor",
            "parallelism": "8",
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "fernet_key": secrets.airflow_fernet_key,
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
            "min_serialized_dag_update_interval": "5",
        },
        "api": {
            "host": HOST,
            "port": str(ports.airflow),
            "workers": "1",
            "base_url": url,
            "secret_key": secrets.airflow_api_secret,
        },
        "api_auth": {"jwt_secret": secrets.airflow_jwt_secret},
        # A changed file is parsed at the next refresh; an unchanged one every 30 s.
        "dag_processor": {"refresh_interval": "10", "min_file_process_interval": "30"},
        "logging": {"colored_console_log": "False"},
    }
    configured = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, values in sections.items()
        for key, value in values.items()
    }
    host = f"spark://{HOST}"
    return {
        "AIRFLOW_HOME": str(home),
        **configured,
        "AIRFLOW_CONN_SPARK_CLUSTER": _connection(
            "spark", host, ports.spark_rest, **{"deploy-mode": "cluster"}
        ),
        "AIRFLOW_CONN_SPARK_CLIENT": _connection(
            "spark", host, ports.spark_master, **{"deploy-mode": "client"}
        ),
    }


def runtime_settings(layout: Layout, java_home: str) -> dict[str, str]:
    """Return what Java, Spark and Python processes need to find each other, settings aside."""
    return {
        "JAVA_HOME": java_home,
        "SPARK_HOME": str(layout.pyspark),
        "SPARK_LOCAL_IP": HOST,
        "PYSPARK_PYTHON": str(layout.python),
        "PYSPARK_DRIVER_PYTHON": str(layout.python),
        "PYTHONPATH": str(layout.project),
        "SCARF_ANALYTICS": "false",
        "GX_ANALYTICS_ENABLED": "false",
    }


def platform_environment(layout: Layout, java_home: str) -> dict[str, str]:
    """Return all variables that `.local/env` exports, PATH aside."""
    secrets = load_secrets(layout.secrets)
    return {
        **platform_settings(layout, secrets),
        **airflow_settings(layout, secrets),
        **runtime_settings(layout, java_home),
    }


def process_environment(layout: Layout, *parts: dict[str, str]) -> dict[str, str]:
    """Return the caller's environment overlaid with `parts`, the virtual environment first on PATH.

    Settings and Airflow variables of the caller are left out, so that a service gets only its `parts`.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        # Without byte code on disk every start would compile Airflow anew.
        if not name.startswith((PREFIX, "AIRFLOW", "SPARK_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    path = f"{layout.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    merged = {**inherited, "PATH": path}
    for part in parts:
        merged.update(part)
    return merged


def write_environment(layout: Layout, variables: dict[str, str]) -> None:
    """Write `.local/env`: shell exports of `variables`, readable by its owner only."""
    lines = ["# Settings of the local platform; load with: . .local/env"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    lines.append(f'PATH={shlex.quote(str(layout.python.parent))}:"$PATH"')
    write_private(layout.env_file, "\n".join(lines) + "\n")
