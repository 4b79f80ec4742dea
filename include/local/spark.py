"""A Spark standalone cluster: one master with its REST server, one worker.

The worker declares more cores than the machine has, so that a replacement driver can start
beside the one that it replaces; Spark counts them and does not enforce them.
"""

from __future__ import annotations

import socket
from typing import Any

import httpx

from include.local.env import process_environment
from include.local.jars import provide_jars
from include.local.layout import HOST, Layout
from include.local.service import Component, Service

WORKER_CORES = 8
WORKER_MEMORY = "8g"


def cluster_properties(layout: Layout) -> str:
    """Return the master's and the worker's configuration; finished applications are cleaned after an hour."""
    values = {
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": str(layout.home / "spark" / "recovery"),
        "spark.master.rest.enabled": "true",
        "spark.master.rest.host": HOST,
        "spark.master.rest.port": str(layout.ports.spark_rest),
        "spark.worker.timeout": "20",
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.cleanup.interval": "600",
        "spark.worker.cleanup.appDataTtl": "3600",
    }
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _prepare(layout: Layout) -> None:
    home = layout.home / "spark"
    for folder in (home / "recovery", home / "work", layout.home / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "cluster.conf").write_text(cluster_properties(layout))


def _master_state(layout: Layout) -> dict[str, Any] | str:
    url = f"http://{HOST}:{layout.ports.spark_master_ui}/json/"
    try:
        answer = httpx.get(url, timeout=2).raise_for_status()
        return dict(answer.json())
    except (httpx.HTTPError, ValueError) as error:
        return f"the master's page {url} ({error})"


def _master_missing(layout: Layout) -> str | None:
    state = _master_state(layout)
    if isinstance(state, str):
        return state
    if state.get("status") != "ALIVE":
        return f"the master to be ALIVE (it is {state.get('status')})"
    try:
        socket.create_connection((HOST, layout.ports.spark_rest), timeout=2).close()
    except OSError as error:
        return f"the REST server at {HOST}:{layout.ports.spark_rest} ({error})"
    return None


def _worker_missing(layout: Layout) -> str | None:
    state = _master_state(layout)
    if isinstance(state, str):
        return state
    return None if state.get("aliveworkers", 0) >= 1 else "a worker registered at the master"


def spark(layout: Layout, settings: dict[str, str]) -> Component:
    """Return the cluster as a component; `settings` is what the worker hands to drivers and executors."""
    home = layout.home / "spark"
    ports = layout.ports
    launcher = str(layout.pyspark / "bin" / "spark-class")
    common = ("--host", HOST, "--properties-file", str(home / "cluster.conf"))
    master_class = (launcher, "org.apache.spark.deploy.master.Master")
    master_ports = ("--port", str(ports.spark_master), "--webui-port", str(ports.spark_master_ui))
    worker_class = (launcher, "org.apache.spark.deploy.worker.Worker", "--work-dir", str(home / "work"))
    worker_room = ("--cores", str(WORKER_CORES), "--memory", WORKER_MEMORY)
    worker_port = ("--webui-port", str(ports.spark_worker_ui))
    env = process_environment(layout, settings, {"SPARK_DAEMON_MEMORY": "256m"})
    master = Service(
        name="spark-master",
        command=(*master_class, *common, *master_ports),
        env=env,
        log=layout.logs / "spark-master.log",
        ready=lambda: _master_missing(layout),
        limit_seconds=60,
        ports=(ports.spark_master, ports.spark_rest, ports.spark_master_ui),
    )
    worker = Service(
        name="spark-worker",
        command=(*worker_class, *common, *worker_port, *worker_room, f"spark://{HOST}:{ports.spark_master}"),
        env=env,
        log=layout.logs / "spark-worker.log",
        ready=lambda: _worker_missing(layout),
        limit_seconds=60,
        ports=(ports.spark_worker_ui,),
    )
    return Component("Spark", (master, worker), lambda: _prepare(layout))


def spark_jars(layout: Layout, java: str) -> Component:
    """Return the jars of Spark's Kafka source as a component without a service: jobs need them, the cluster not."""
    return Component("spark-jars", (), lambda: provide_jars(layout, java, layout.spark_jars))
