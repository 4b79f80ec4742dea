"""The local platform as a whole: which components it has, how it goes up and down, how it is doing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from include.local import supervise
from include.local.airflow import airflow
from include.local.checks import check_ports, check_python, check_room
from include.local.clickhouse import clickhouse
from include.local.env import (
    platform_environment,
    platform_settings,
    runtime_settings,
    write_environment,
)
from include.local.kafka import kafka
from include.local.layout import Layout
from include.local.programs import Tools, find_tools
from include.local.secrets import load_secrets
from include.local.service import Component, LocalPlatformError, Service
from include.local.spark import spark, spark_jars

Say = Callable[[str], None]

# Airflow goes first, so that nothing is launched anew on what is already stopping.
STOP_ORDER: tuple[tuple[str, ...], ...] = (
    (
        "airflow-api-server",
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-triggerer",
    ),
    ("spark-worker", "spark-master"),
    ("clickhouse", "kafka"),
)
SERVICE_NAMES = tuple(name for group in reversed(STOP_ORDER) for name in group)
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class State:
    """How one service is doing: `pid` and `seconds` up if it runs, `missing` what it lacks to be ready."""

    name: str
    pid: int | None
    seconds: float
    missing: str | None


def components(layout: Layout, tools: Tools) -> tuple[Component, ...]:
    """Return the components of the platform, the slowest to start first."""
    secrets = load_secrets(layout.secrets)
    settings = platform_settings(layout, secrets)
    runtime = runtime_settings(layout, tools.java_home)
    return (
        airflow(layout, secrets, platform_environment(layout, tools.java_home)),
        kafka(layout, tools.java),
        spark(layout, {**settings, **runtime}),
        spark_jars(layout, tools.java),
        clickhouse(layout, tools.clickhouse_server, secrets, settings),
    )


def _line(name: str, what: str, since: float) -> str:
    return f"  {name:<24} {what:<32} {time.monotonic() - since:6.1f} s"


def _bring_up(layout: Layout, component: Component, say: Say, since: float) -> None:
    down = [service for service in component.services if supervise.find(layout, service.name) is None]
    if down or not component.services:
        component.prepare()
    if not component.services:
        say(_line(component.name, "complete", since))
    for service in down:
        supervise.start(layout, service)
    for service in component.services:
        supervise.wait_ready(layout, service)
        say(
            _line(
                service.name,
                "ready" if service in down else "was already running",
                since,
            )
        )


def _ports_needed(layout: Layout, services: list[Service]) -> list[tuple[str, int]]:
    down = [service for service in services if supervise.find(layout, service.name) is None]
    # What a dead service left behind may still hold its port and is ended before its start.
    orphaned = {service.name for service in down if supervise.members(layout, [service.name])}
    return [
        (service.name, port) for service in down if service.name not in orphaned for port in service.ports
    ]


def up(layout: Layout, say: Say) -> Tools:
    """Bring every service up and wait until each does its work; what already runs is left alone.

    Raises:
        LocalPlatformError: a check or a service failed; what was started stays, for a look and another `up`.
    """
    since = time.monotonic()
    check_python()
    layout.logs.mkdir(parents=True, exist_ok=True)
    tools = find_tools(lambda text: say(f"  {text}"))
    write_environment(layout, platform_environment(layout, tools.java_home))
    plan = components(layout, tools)
    services = [service for component in plan for service in component.services]
    check_ports(_ports_needed(layout, services))
    if not any(supervise.find(layout, service.name) for service in services):
        check_room(layout.home)
    say(_line("checks", "passed", since))
    failures: list[str] = []
    with ThreadPoolExecutor(len(plan)) as pool:
        waits: dict[Future[None], Component] = {
            pool.submit(_bring_up, layout, component, say, since): component for component in plan
        }
        for done in as_completed(waits):
            error = done.exception()
            if isinstance(error, LocalPlatformError):
                say(_line(waits[done].name, "FAILED", since))
                failures.append(str(error))
            elif error is not None:
                raise error
    if failures:
        raise LocalPlatformError("\n\n".join(failures))
    return tools


def down(layout: Layout, say: Say) -> None:
    """End every process of the platform; its data stays.

    Drivers and applications that the Spark master remembers are forgotten, so that the next `up`
    starts an empty cluster: a stream runs again once it is launched again.
    """
    since = time.monotonic()
    for group in STOP_ORDER:
        if not supervise.members(layout, group):
            continue
        killed = supervise.stop(layout, group, _STOP_SECONDS)
        note = f"stopped ({killed} killed)" if killed else "stopped"
        for name in group:
            say(_line(name, note, since))
    shutil.rmtree(layout.home / "spark" / "recovery", ignore_errors=True)
    left = supervise.members(layout, SERVICE_NAMES)
    if left:
        raise LocalPlatformError("still running: " + ", ".join(f"{p.pid} {p.name()}" for p in left))


def states(layout: Layout, tools: Tools) -> list[State]:
    """Return how each service is doing, in the order of their names in SERVICE_NAMES."""
    services = {service.name: service for item in components(layout, tools) for service in item.services}
    found = []
    for name in SERVICE_NAMES:
        running = supervise.find(layout, name)
        if running is None:
            found.append(State(name, None, 0.0, "its process"))
        else:
            found.append(
                State(
                    name,
                    running.pid,
                    time.time() - running.started,
                    services[name].ready(),
                )
            )
    return found
