"""Airflow: API server, scheduler, DAG processor and triggerer, on SQLite.

What `airflow standalone` runs, as services of their own: one that dies is seen and started
again by itself, and none opens the log servers that would listen beyond loopback.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime

import httpx

from include.local.env import process_environment
from include.local.layout import HOST, Layout
from include.local.secrets import Secrets, write_private
from include.local.service import Component, LocalPlatformError, Service
from include.local.supervise import find

USER = "admin"


def _prepare(layout: Layout, env: dict[str, str], secrets: Secrets) -> None:
    home = layout.home / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    write_private(home / "passwords.json", json.dumps({USER: secrets.airflow_password}) + "\n")
    with (layout.logs / "airflow-migrate.log").open("a") as log:
        done = subprocess.run(
            [str(layout.python.parent / "airflow"), "db", "migrate"],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
    if done.returncode != 0:
        raise LocalPlatformError(f"Airflow could not prepare its database; see {log.name}")


def _missing(layout: Layout, name: str, component: str) -> str | None:
    url = f"http://{HOST}:{layout.ports.airflow}/api/v2/monitor/health"
    try:
        health = httpx.get(url, timeout=5).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        return f"an answer of {url} ({error})"
    status = health.get(component, {}).get("status")
    if status != "healthy":
        return f"a heartbeat of the {component} (it is {status})"
    beat, running = health[component].get(f"latest_{component}_heartbeat"), find(layout, name)
    # For half a minute Airflow counts the heartbeat of a process that was killed.
    if beat and running and datetime.fromisoformat(beat).timestamp() < running.started:
        return f"a heartbeat of the new {component}"
    return None


def airflow(layout: Layout, secrets: Secrets, settings: dict[str, str]) -> Component:
    """Return Airflow as a component."""
    env = process_environment(layout, settings, {"NO_COLOR": "1"})
    binary = str(layout.python.parent / "airflow")

    def service(name: str, health: str, *arguments: str, ports: tuple[int, ...] = ()) -> Service:
        return Service(
            name=f"airflow-{name}",
            command=(binary, name, *arguments),
            env=env,
            log=layout.logs / f"airflow-{name}.log",
            ready=lambda: _missing(layout, f"airflow-{name}", health),
            limit_seconds=180,
            ports=ports,
        )

    services = (
        service("api-server", "metadatabase", ports=(layout.ports.airflow,)),
        service("scheduler", "scheduler", "--skip-serve-logs"),
        service("dag-processor", "dag_processor"),
        service("triggerer", "triggerer", "--skip-serve-logs"),
    )
    return Component("Airflow", services, lambda: _prepare(layout, env, secrets))
