"""What the machine must offer before any service is started; each refusal comes with the line that mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from include.local.service import LocalPlatformError

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
MEMORY_GIB = 4.0
DISK_GIB = 4.0


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Refuse a Python that the locked libraries do not support."""
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise LocalPlatformError(
            f"Python {version[0]}.{version[1]} is not supported (3.11 to 3.13 are): "
            "remove .venv and run `make up PYTHON=python3.11`"
        )


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
