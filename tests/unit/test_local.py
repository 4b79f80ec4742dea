"""The local platform: its checks, its environment, and the starting and ending of processes."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from include.local import checks, programs, supervise
from include.local.clickhouse import analyst_seconds
from include.local.env import platform_environment, process_environment, write_environment
from include.local.jars import read_lock, wrong_jars
from include.local.kafka import server_properties
from include.local.layout import Layout
from include.local.platform import SERVICE_NAMES, components
from include.local.secrets import load_secrets
from include.local.service import LocalPlatformError, Service
from include.settings import PREFIX, Settings, get_settings

# A parent whose child outlives its SIGTERM, and which tells in a file when both are there.
_STUBBORN = """
import pathlib, signal, subprocess, sys
child = "import signal, sys, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
child += f"pathlib.Path({sys.argv[1]!r}).write_text('up'); signal.pause()"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
signal.pause()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(project=tmp_path)


@pytest.fixture
def make_service(layout: Layout) -> Iterator[Callable[..., Service]]:
    names: list[str] = []

    def make(
        name: str, code: str, *arguments: str, ready: Callable[[], str | None], limit: float = 20
    ) -> Service:
        names.append(name)
        layout.home.mkdir(exist_ok=True)
        return Service(
            name=name,
            command=(sys.executable, "-c", code, *arguments),
            env=dict(os.environ),
            log=layout.logs / f"{name}.log",
            ready=ready,
            limit_seconds=limit,
        )

    yield make
    supervise.stop(layout, names, 2)


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = load_secrets(tmp_path / "secrets.json")
    assert load_secrets(tmp_path / "secrets.json") == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert first.airflow_password not in repr(first)


def test_damaged_secrets_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(LocalPlatformError, match="make clean"):
        load_secrets(tmp_path / "secrets.json")


def test_environment_names_every_setting_and_reads_back(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = platform_environment(layout, "/java")
    settings = {name for name in variables if name.startswith(PREFIX)}
    assert settings == {PREFIX + name.upper() for name in Settings.model_fields}
    for name in settings:
        monkeypatch.setenv(name, variables[name])
    get_settings.cache_clear()
    read = get_settings()
    get_settings.cache_clear()
    assert read.allow_inject_drift is True
    assert read.clickhouse_password.get_secret_value() == load_secrets(layout.secrets).clickhouse_password


def test_environment_file_gives_a_shell_the_same_values(layout: Layout) -> None:
    variables = platform_environment(layout, "/java")
    write_environment(layout, variables)
    shown = subprocess.run(
        ["bash", "-c", f". {layout.env_file}; env -0"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    shell = dict(line.split("=", 1) for line in shown.stdout.split("\0") if "=" in line)
    assert {name: shell.get(name) for name in variables} == variables
    assert stat.S_IMODE(layout.env_file.stat().st_mode) == 0o600


def test_unknown_setting_of_the_caller_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_NONSENSE", "1")
    with pytest.raises(LocalPlatformError, match="PLATFORM_NONSENSE"):
        platform_environment(layout, "/java")


def test_value_out_of_bounds_is_refused_by_its_variable(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HEARTBEAT_SECONDS", "99")
    with pytest.raises(LocalPlatformError, match=r"PLATFORM_HEARTBEAT_SECONDS.*99"):
        platform_environment(layout, "/java")


def test_a_service_gets_no_setting_of_the_caller(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "Other")
    assert "AIRFLOW__CORE__EXECUTOR" not in process_environment(layout)


def test_spark_gets_no_airflow_secret(layout: Layout) -> None:
    tools = programs.Tools("/java", ("clickhouse-server",), ("clickhouse-client",))
    services = {service.name: service for item in components(layout, tools) for service in item.services}
    assert sorted(services) == sorted(SERVICE_NAMES)
    worker = services["spark-worker"].env
    assert not [name for name in worker if name.startswith("AIRFLOW")]
    assert worker["PYTHONPATH"] == str(layout.project)


def test_no_two_services_share_a_port(layout: Layout) -> None:
    tools = programs.Tools("/java", ("clickhouse-server",), ("clickhouse-client",))
    ports = [
        port for item in components(layout, tools) for service in item.services for port in service.ports
    ]
    assert len(ports) == len(set(ports))


def test_kafka_listens_on_loopback_only(layout: Layout) -> None:
    properties = dict(line.split("=", 1) for line in server_properties(layout).splitlines())
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(("grace", "longest"), [(5.0, 4), (2.5, 1), (0.0, 1)])
def test_analysts_queries_end_before_a_seal_is_settled(grace: float, longest: int) -> None:
    assert analyst_seconds(grace) == longest


def test_locks_hold_digests_and_no_file_twice() -> None:
    for name in ("kafka", "spark"):
        jars = read_lock(name)
        assert len({jar.file_name for jar in jars}) == len(jars) > 0
        assert all(len(jar.sha256) == 64 for jar in jars)


def test_a_jar_with_other_content_is_wrong(tmp_path: Path) -> None:
    jars = read_lock("spark")
    (tmp_path / jars[0].file_name).write_bytes(b"x")
    (tmp_path / "stranger.jar").write_bytes(b"x")
    assert wrong_jars(tmp_path, jars) == sorted([*(jar.file_name for jar in jars), "stranger.jar"])


def test_old_python_is_refused_with_the_way_out() -> None:
    with pytest.raises(LocalPlatformError, match=r"3\.10 is not supported.*PYTHON="):
        checks.check_python((3, 10))


def test_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LocalPlatformError, match=rf"port {port}, which kafka needs.*kill {os.getpid()}"):
            checks.check_ports([("kafka", port)])
    checks.check_ports([("kafka", port)])


def test_missing_clickhouse_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_java", lambda: "/java")
    monkeypatch.setattr(programs, "find_clickhouse", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalPlatformError, match=r"no clickhouse-server program.*install"):
        programs.find_tools(print)


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "MEMORY_GIB", 1e6)
    with pytest.raises(LocalPlatformError, match="GiB of memory are available"):
        checks.check_room(tmp_path)


def test_too_little_disk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "MEMORY_GIB", 0.0)
    monkeypatch.setattr(checks, "DISK_GIB", 1e9)
    with pytest.raises(LocalPlatformError, match="GiB are free under"):
        checks.check_room(tmp_path)


def test_a_stopped_service_leaves_no_descendant(
    layout: Layout, tmp_path: Path, make_service: Callable[..., Service]
) -> None:
    told = tmp_path / "told"
    service = make_service(
        "stubborn", _STUBBORN, str(told), ready=lambda: None if told.exists() else "its child"
    )
    running = supervise.start(layout, service)
    supervise.wait_ready(layout, service)
    child = psutil.Process(running.pid).children()[0]
    psutil.Process(running.pid).kill()
    psutil.wait_procs([psutil.Process(running.pid)], timeout=5)
    assert [process.pid for process in supervise.members(layout, ["stubborn"])] == [child.pid]
    assert supervise.stop(layout, ["stubborn"], 1) == 1
    assert supervise.members(layout, ["stubborn"]) == []


def test_a_reused_process_id_is_not_taken_for_the_service(layout: Layout) -> None:
    layout.run.mkdir(parents=True)
    (layout.run / "kafka.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    assert supervise.find(layout, "kafka") is None


def test_a_service_that_ends_is_reported_with_the_end_of_its_log(
    layout: Layout, make_service: Callable[..., Service]
) -> None:
    service = make_service("brief", "print('no such disk')", ready=lambda: "an answer")
    supervise.start(layout, service)
    with pytest.raises(LocalPlatformError, match=r"brief ended while it started(.|\n)*no such disk"):
        supervise.wait_ready(layout, service)


def test_a_service_that_never_gets_ready_is_reported_with_what_it_lacks(
    layout: Layout, make_service: Callable[..., Service]
) -> None:
    service = make_service("slow", "import signal; signal.pause()", ready=lambda: "a broker", limit=0.3)
    supervise.start(layout, service)
    with pytest.raises(LocalPlatformError, match="slow: waited 0 s for a broker"):
        supervise.wait_ready(layout, service)
