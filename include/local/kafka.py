"""Kafka on one node (KRaft: broker and controller in one process)."""

from __future__ import annotations

import base64
import subprocess
import uuid

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from include.local.env import process_environment
from include.local.jars import provide_jars
from include.local.layout import HOST, Layout
from include.local.service import Component, LocalPlatformError, Service

_LOGGING = """\
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.name = stdout
appender.stdout.type = Console
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %c{1} %m%n
"""


def server_properties(layout: Layout) -> str:
    """Return the broker's configuration: one copy of everything, no topic created by accident."""
    ports = layout.ports
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{ports.kafka_controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"PLAINTEXT://{HOST}:{ports.kafka},CONTROLLER://{HOST}:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{ports.kafka}",
        "log.dirs": str(layout.home / "kafka" / "data"),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _prepare(layout: Layout, java: str) -> None:
    provide_jars(layout, java, layout.kafka_jars)
    home = layout.home / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    properties = home / "server.properties"
    properties.write_text(server_properties(layout))
    (home / "log4j2.properties").write_text(_LOGGING)
    if (home / "data" / "meta.properties").exists():
        return
    # Kafka's cluster id is a UUID in 22 characters of URL-safe base64; a leading dash would read as an option.
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22].replace("-", "A")
    tool = (java, "-cp", f"{layout.kafka_jars}/*", "kafka.tools.StorageTool")
    done = subprocess.run(
        [*tool, "format", "--cluster-id", cluster, "--config", str(properties)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise LocalPlatformError(f"Kafka could not format {home / 'data'}:\n{done.stdout}{done.stderr}")


def _missing(layout: Layout) -> str | None:
    servers = f"{HOST}:{layout.ports.kafka}"
    try:
        client = AdminClient(
            {"bootstrap.servers": servers, "socket.timeout.ms": 2000},
            logger=None,
            log_level=0,
        )
        brokers = client.list_topics(timeout=2).brokers
    except KafkaException as error:
        return f"a broker at {servers} ({error.args[0].str()})"
    return None if brokers else f"a broker at {servers}"


def kafka(layout: Layout, java: str) -> Component:
    """Return Kafka as a component."""
    home = layout.home / "kafka"
    service = Service(
        name="kafka",
        command=(
            java,
            "-Xms256m",
            "-Xmx512m",
            f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
            "-cp",
            f"{layout.kafka_jars}/*",
            "kafka.Kafka",
            str(home / "server.properties"),
        ),
        env=process_environment(layout),
        log=layout.logs / "kafka.log",
        ready=lambda: _missing(layout),
        limit_seconds=60,
        ports=(layout.ports.kafka, layout.ports.kafka_controller),
    )
    return Component("Kafka", (service,), lambda: _prepare(layout, java))
