"""What the machine must have before any service is started; each finding comes with the line that mends it.

As root on Debian a missing package is installed; elsewhere the finding says what to install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from include.local.service import LocalPlatformError

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
OLDEST_JAVA = 17
MEMORY_GIB = 4.0
DISK_GIB = 4.0
_POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True)
class Tools:
    """Programs found: `java_home`, and the commands of the ClickHouse server and client."""

    java_home: str
    clickhouse_server: tuple[str, ...]
    clickhouse_client: tuple[str, ...]

    @property
    def java(self) -> str:
        """The java program."""
        return str(Path(self.java_home) / "bin" / "java")


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Refuse a Python that the locked libraries do not support."""
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise LocalPlatformError(
            f"Python {version[0]}.{version[1]} is not supported (3.11 to 3.13 are): "
            "remove .venv and run `make up PYTHON=python3.11`"
        )


def _java_version(java: Path) -> int:
    """Return the major version of `java` if it can run Spark, else 0."""
    try:
        version = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stderr
        modules = subprocess.run(
            [java, "--list-modules"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', version)
    # Spark 4.2 starts its JVMs with this module; cut-down runtimes lack it.
    return int(found.group(1)) if found and "jdk.incubator.vector" in modules.stdout else 0


def find_java() -> str | None:
    """Return the JAVA_HOME of a Java that can run Spark, or None."""
    named = [Path(os.environ["JAVA_HOME"]) / "bin" / "java"] if os.environ.get("JAVA_HOME") else []
    on_path = [Path(java)] if (java := shutil.which("java")) else []
    for candidate in [
        *named,
        *on_path,
        *sorted(Path("/usr/lib/jvm").glob("*/bin/java")),
    ]:
        if candidate.exists() and _java_version(candidate) >= OLDEST_JAVA:
            return str(candidate.resolve().parents[1])
    return None


def find_clickhouse(part: str) -> tuple[str, ...] | None:
    """Return the command of ClickHouse's `part` (server or client), or None."""
    folders = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/bin"
    if own := shutil.which(f"clickhouse-{part}", path=folders):
        return (own,)
    single = shutil.which("clickhouse", path=folders)
    return (single, part) if single else None


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Keep a package's installation from starting its own service (Debian's policy-rc.d)."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)


def _install(package: str, why: str, say: Callable[[str], None]) -> None:
    if not shutil.which("apt-get"):
        raise LocalPlatformError(f"{why}; install it with your package manager (Debian calls it {package})")
    if os.geteuid() != 0:
        raise LocalPlatformError(f"{why}; install it: sudo apt-get install {package}")
    say(f"installing Debian's {package} ({why})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_stay_down():
        for arguments in (
            ["update"],
            ["install", "--yes", "--no-install-recommends", package],
        ):
            done = subprocess.run(
                ["apt-get", "--quiet", "--option", "Acquire::Retries=3", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise LocalPlatformError(f"{why}, and `apt-get install {package}` failed:\n{end}")


def find_tools(say: Callable[[str], None]) -> Tools:
    """Return the programs that services need, installing what Debian's packages can bring.

    Raises:
        LocalPlatformError: one is missing and cannot be installed from here.
    """
    if not (java_home := find_java()):
        _install(
            "openjdk-17-jre-headless",
            f"no Java {OLDEST_JAVA} or later that can run Spark was found",
            say,
        )
        java_home = find_java()
    if not find_clickhouse("server"):
        _install("clickhouse-server", "no clickhouse-server program was found", say)
    if not find_clickhouse("client"):
        _install("clickhouse-client", "no clickhouse-client program was found", say)
    if not Path("/usr/bin/curl").exists():
        _install(
            "curl",
            "Airflow asks Spark about drivers through /usr/bin/curl, which was not found",
            say,
        )
    server, client = find_clickhouse("server"), find_clickhouse("client")
    if not (java_home and server and client):
        raise LocalPlatformError(
            "a package was installed and its program is still not found; see `which java`"
        )
    return Tools(java_home, server, client)


def _holder(port: int) -> str | None:
    """Return a description of the process that listens on `port`, or None if it is free."""
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        if connection.pid is None:
            return f"another user's process: see `sudo ss -ltnp 'sport = :{port}'`"
        try:
            command = " ".join(psutil.Process(connection.pid).cmdline())[:80]
        except psutil.Error:
            command = "unknown command"
        return f"process {connection.pid} ({command}): stop it with `kill {connection.pid}`"
    return None


def check_ports(wanted: Iterable[tuple[str, int]]) -> None:
    """Refuse to start when a (service, port) is already taken, naming what holds it."""
    taken = [
        f"port {port}, which {service} needs, is held by {holder}"
        for service, port in wanted
        if (holder := _holder(port)) is not None
    ]
    if taken:
        raise LocalPlatformError("\n".join(taken))


def check_room(folder: Path) -> None:
    """Refuse to start with too little free memory or disk."""
    memory = psutil.virtual_memory().available / 2**30
    if memory < MEMORY_GIB:
        raise LocalPlatformError(
            f"{memory:.1f} GiB of memory are available and {MEMORY_GIB:.0f} are needed: end what is not in use"
        )
    disk = psutil.disk_usage(str(folder)).free / 2**30
    if disk < DISK_GIB:
        raise LocalPlatformError(
            f"{disk:.1f} GiB are free under {folder} and {DISK_GIB:.0f} are needed: make room, or clone elsewhere"
        )
