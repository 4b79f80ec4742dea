"""Damage to the local platform, on purpose: kill -9, pause, outage, and the restart that Compose would do.

For the chaos tests and the benchmark of recovery. Only processes that this platform started are
touched: they are known by its marker, never by name alone.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import httpx
import psutil

from include.local import supervise
from include.local.layout import HOST, Layout
from include.local.platform import STOP_ORDER, components
from include.local.programs import find_tools
from include.local.service import Service
from include.spark.submission import streams_of

DRIVER_CLASS = "org.apache.spark.deploy.worker.DriverWrapper"
EXECUTOR_CLASS = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
AIRFLOW = STOP_ORDER[0]
# What a container engine takes to start a service again that died.
RESTART_SECONDS = 2.0


class NothingToDamageError(RuntimeError):
    """The process that was to be damaged does not run."""


@dataclass(frozen=True)
class SparkProcess:
    """A JVM of the stream on the cluster, with the Python processes below it."""

    jvm: psutil.Process

    def everyone(self) -> list[psutil.Process]:
        return [self.jvm, *self.jvm.children(recursive=True)]


class Damage:
    """What can be done to the processes of one platform."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        found = components(layout, find_tools(print))
        self._services: dict[str, Service] = {item.name: item for part in found for item in part.services}

    def drivers(self) -> list[SparkProcess]:
        """Return the drivers of streams that run on this platform's worker."""
        return [SparkProcess(jvm) for jvm in self._below_worker(DRIVER_CLASS)]

    def executors(self, stream: str) -> list[SparkProcess]:
        """Return the executors of the stream's application, as the master knows it.

        Raises:
            httpx.HTTPError: the master does not answer.
        """
        page = f"http://{HOST}:{self._layout.ports.spark_master_ui}/json/"
        applications = [
            app["id"]
            for app in httpx.get(page, timeout=10).raise_for_status().json()["activeapps"]
            if stream in streams_of(app["name"])
        ]
        found = [jvm for app in applications for jvm in self._below_worker(EXECUTOR_CLASS, app)]
        return [SparkProcess(jvm) for jvm in found]

    def service(self, name: str) -> psutil.Process:
        """Return the process of a service.

        Raises:
            NothingToDamageError: it does not run.
        """
        running = supervise.find(self._layout, name)
        if running is None:
            raise NothingToDamageError(f"{name} does not run")
        return psutil.Process(running.pid)

    def kill_service(self, name: str) -> None:
        """SIGKILL the process of a service; what it started is left to itself."""
        self.service(name).kill()

    def kill_all(self, names: Iterable[str]) -> int:
        """SIGKILL every process of some services, descendants included; return how many."""
        found = supervise.members(self._layout, names)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=5)
        return len(found)

    def start(self, *names: str) -> None:
        """Start services again and wait until each works.

        Raises:
            LocalPlatformError: one did not come up.
        """
        for name in names:
            supervise.start(self._layout, self._services[name])
        for name in names:
            supervise.wait_ready(self._layout, self._services[name])

    def kill_and_restart(self, name: str, seconds: float = RESTART_SECONDS) -> None:
        """SIGKILL a service and start it again after some seconds."""
        self.kill_service(name)
        last(seconds)
        self.start(name)

    def outage(self, name: str, seconds: float) -> None:
        """Stop a service as an operator would, and start it again after some seconds."""
        supervise.stop(self._layout, [name], 20)
        last(seconds)
        self.start(name)

    def _below_worker(self, *words: str) -> list[psutil.Process]:
        found = []
        for process in supervise.members(self._layout, ["spark-worker"]):
            with contextlib.suppress(psutil.Error):
                if set(words) <= set(process.cmdline()):
                    found.append(process)
        return found


@contextlib.contextmanager
def paused(processes: list[psutil.Process]) -> Iterator[None]:
    """SIGSTOP some processes for the length of the block; those that have ended are left out."""
    try:
        _signal(processes, signal.SIGSTOP)
        yield
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def last(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let damage last for some seconds, or until something holds."""
    pause = threading.Event()
    for _ in range(round(seconds / 0.1)):
        if until():
            return
        pause.wait(0.1)
