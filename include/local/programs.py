"""The programs that services need: Java, ClickHouse, curl.

As root on Debian a missing one is installed; elsewhere the error says what to install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.local.service import LocalPlatformError

OLDEST_JAVA = 17
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
