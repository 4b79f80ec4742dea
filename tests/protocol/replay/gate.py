"""Runs an actor's real code in a thread of its own that stops before each step of the model."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from clickhouse_driver import Client

STEP_SECONDS = 60.0
_here = threading.local()


class ReplayEnded(BaseException):
    """The replay is over: an actor that is still stopped before a step ends there."""


class Actor:
    """One participant; `step` is what it would do next, None when it has ended."""

    def __init__(self, body: Callable[[Actor], None]) -> None:
        self.step: str | None = None
        self.what = ""
        self.error: BaseException | None = None
        self._body = body
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def _run(self) -> None:
        _here.actor = self
        try:
            self._body(self)
        except ReplayEnded:
            pass
        except BaseException as error:
            self.error = error
        self.step = None
        self._stopped.release()

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=STEP_SECONDS), f"step {self.step} took over {STEP_SECONDS} s"
        if self.error is not None:
            raise self.error

    def advance(self, step: str, what: str = "") -> None:
        """Take the step if it is the one that this actor would take next; otherwise do nothing."""
        if self.step == step:
            self.what = what
            self._go.release()
            self._wait()

    def before(self, step: str) -> None:
        """Stop until the replay takes this step. Called by the actor's own code."""
        self.step = step
        self._stopped.release()
        self._go.acquire()
        if self._over:
            raise ReplayEnded

    def close(self) -> None:
        """End the actor where it stands."""
        if self.step is not None:
            self._over = True
            self._go.release()
            self._thread.join(STEP_SECONDS)


def current() -> Actor:
    """Return the actor whose code is running in this thread."""
    found: Actor = _here.actor
    return found


class SteppedClient:
    """A ClickHouse client that stops before chosen statements, each at its first match and in the order given."""

    def __init__(self, client: Client, steps: list[tuple[str, str]]) -> None:
        self._client = client
        self.stop_before(steps)

    def stop_before(self, steps: list[tuple[str, str]]) -> None:
        """Stop before these statements from now on."""
        self._steps = [(step, re.compile(pattern)) for step, pattern in steps]

    def _stop(self, query: str) -> None:
        if self._steps and self._steps[0][1].search(query):
            current().before(self._steps.pop(0)[0])

    def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """As Client.execute."""
        self._stop(query)
        return self._client.execute(query, *args, **kwargs)

    def execute_iter(self, query: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As Client.execute_iter."""
        self._stop(query)
        found: Iterator[Any] = self._client.execute_iter(query, *args, **kwargs)
        return found

    def disconnect(self) -> None:
        """As Client.disconnect."""
        self._client.disconnect()
