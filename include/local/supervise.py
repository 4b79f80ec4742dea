"""Start, find and stop the processes of services.

A service runs in a session of its own and is known by its process id and start time, so that a
reused id is never taken for it. Its descendants are found even after their parent died.
"""

from __future__ import annotations

import json
import os
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
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kept(layout: Layout, name: str) -> Running | None:
    try:
        kept = json.loads(_pid_file(layout, name).read_text())
        return Running(int(kept["pid"]), float(kept["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def find(layout: Layout, name: str) -> Running | None:
    """Return the process of service `name` that this platform started, or None."""
    kept = _kept(layout, name)
    if kept is None or not _same(_started(kept.pid), kept):
        return None
    try:
        return kept if _is_alive(psutil.Process(kept.pid)) else None
    except psutil.NoSuchProcess:
        return None


def _same(started: float | None, kept: Running) -> bool:
    return started is not None and abs(started - kept.started) < 0.5


def _sessions(layout: Layout, names: Iterable[str]) -> set[int]:
    """Return the sessions of the services `names`; one whose id now belongs to a stranger is left out.

    A session's id is not given to a new process while any process of the session lives.
    """
    sessions = set()
    for kept in filter(None, (_kept(layout, name) for name in names)):
        started = _started(kept.pid)
        if started is None or _same(started, kept):
            sessions.add(kept.pid)
    return sessions


def members(layout: Layout, names: Iterable[str]) -> list[psutil.Process]:
    """Return every live process that belongs to the services `names`, descendants and orphans included.

    They are known by their session, by the marker in their environment (which a process that sets
    its own title loses), or as children of one that is known so.
    """
    names = list(names)
    sessions = _sessions(layout, names)
    marks = {_mark(layout, name) for name in names}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions or process.environ().get(MARKER) in marks:
                found.update({item.pid: item for item in (process, *process.children(recursive=True))})
        except (psutil.Error, OSError):
            continue
    return [process for process in found.values() if _is_alive(process)]


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
    _pid_file(layout, service.name).write_text(json.dumps({"pid": running.pid, "started": running.started}))
    return running


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last lines of a log, or a note that there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(f"    {line}" for line in lines[-count:])


def wait_ready(layout: Layout, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
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
    alive = [process for process in alive if _is_alive(process)]
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
    pids = {running.pid for name in names if (running := find(layout, name)) is not None}
    everyone = members(layout, names)
    leaders = [process for process in everyone if process.pid in pids]
    for leader in leaders:
        try:
            leader.terminate()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(leaders, timeout=limit_seconds)
    left = {process.pid: process for process in [*everyone, *members(layout, names)] if _is_alive(process)}
    killed = _end(list(left.values()), 3.0)
    for name in names:
        _pid_file(layout, name).unlink(missing_ok=True)
    return len(killed)
