"""Start, find and stop the processes of services.

A service runs in a session of its own and is known by its process id and start time, so that a
reused id is never taken for it. Its descendants carry a marker in their environment and are
found by it even after their parent died.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from include.local.layout import Layout
from include.local.service import LocalPlatformError, Service

MARKER = "LOCAL_SERVICE"
_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Running:
    """A live service process; `started` in seconds since the epoch."""

    pid: int
    started: float


def _pid_file(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.json"


def _mark(layout: Layout, name: str) -> str:
    return f"{layout.home}:{name}"


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def find(layout: Layout, name: str) -> Running | None:
    """Return the process of service `name` that this platform started, or None."""
    try:
        kept = json.loads(_pid_file(layout, name).read_text())
        process = psutil.Process(int(kept["pid"]))
        same = abs(process.create_time() - float(kept["started"])) < 0.5
        return (
            Running(process.pid, process.create_time())
            if same and _is_alive(process)
            else None
        )
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def members(layout: Layout, names: Iterable[str]) -> list[psutil.Process]:
    """Return every live process that belongs to the services `names`, descendants and orphans included."""
    marks = {_mark(layout, name) for name in names}
    found: dict[int, psutil.Process] = {}
    for name in names:
        running = find(layout, name)
        if running is not None:
            try:
                leader = psutil.Process(running.pid)
                found.update(
                    {
                        process.pid: process
                        for process in (leader, *leader.children(recursive=True))
                    }
                )
            except psutil.NoSuchProcess:
                continue
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) in marks:
                found[process.pid] = process
        except (psutil.Error, OSError):
            continue
    return [process for process in found.values() if _alive_or_false(process)]


def _alive_or_false(process: psutil.Process) -> bool:
    try:
        return _is_alive(process)
    except psutil.NoSuchProcess:
        return False


def start(layout: Layout, service: Service) -> Running:
    """Start `service`, after ending what an earlier life of it left behind."""
    left = members(layout, [service.name])
    if left:
        _end(left, 3.0)
    layout.run.mkdir(parents=True, exist_ok=True)
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        child = subprocess.Popen(
            service.command,
            env={**service.env, MARKER: _mark(layout, service.name)},
            cwd=layout.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(child.pid, psutil.Process(child.pid).create_time())
    _pid_file(layout, service.name).write_text(
        json.dumps({"pid": running.pid, "started": running.started})
    )
    return running


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last lines of a log, or a note that there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(f"    {line}" for line in lines[-count:])


def wait_ready(
    layout: Layout, service: Service, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until `service` does its work.

    Raises:
        LocalPlatformError: its process ended, or the limit passed; with the last lines of its log.
    """
    deadline = clock() + service.limit_seconds
    while (missing := service.ready()) is not None:
        if find(layout, service.name) is None:
            raise LocalPlatformError(
                f"{service.name} ended while it started; the end of {service.log}:\n{last_lines(service.log)}"
            )
        if clock() > deadline:
            raise LocalPlatformError(
                f"{service.name}: waited {service.limit_seconds:.0f} s for {missing}; "
                f"the end of {service.log}:\n{last_lines(service.log)}"
            )
        time.sleep(_POLL_SECONDS)


def _end(processes: list[psutil.Process], limit_seconds: float) -> list[psutil.Process]:
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=limit_seconds)
    alive = [process for process in alive if _alive_or_false(process)]
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=3)
    return alive


def stop(layout: Layout, names: Iterable[str], limit_seconds: float) -> int:
    """End the services `names` and all their descendants; return how many processes had to be killed.

    The leaders get a SIGTERM first and `limit_seconds` to end their own; what is left then gets
    a SIGTERM of its own and, 3 s later, a SIGKILL.
    """
    names = list(names)
    leaders = [
        psutil.Process(running.pid)
        for name in names
        if (running := find(layout, name)) is not None
    ]
    everyone = members(layout, names)
    for leader in leaders:
        try:
            leader.terminate()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(leaders, timeout=limit_seconds)
    left = {
        process.pid: process
        for process in [*everyone, *members(layout, names)]
        if _alive_or_false(process)
    }
    killed = _end(list(left.values()), 3.0)
    for name in names:
        _pid_file(layout, name).unlink(missing_ok=True)
    return len(killed)
