"""CleanSubmitHook: spark-submit with a chosen environment, and with --supervise where it is asked for."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

_PR_SET_PDEATHSIG = 1


class CleanSubmitHook(SparkSubmitHook):
    """Starts spark-submit with `child_environment` and nothing else of this process's environment.

    supervise appends `--supervise`, for which the provider has no parameter; the configuration key
    spark.driver.supervise is silently ignored. dies_with_task ends the child when this process is
    killed, so that neither a client-mode driver nor a submission under way has a life of its own.
    """

    def __init__(
        self,
        *,
        child_environment: Mapping[str, str],
        supervise: bool = False,
        dies_with_task: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.child_environment = dict(child_environment)
        self.supervise = supervise
        self.dies_with_task = dies_with_task

    def _build_spark_common_args(self) -> list[str]:
        return [*super()._build_spark_common_args(), *(["--supervise"] if self.supervise else [])]

    def submit(self, application: str = "", **kwargs: Any) -> str | None:
        """Run spark-submit; in cluster mode return the driver's id."""
        if self.dies_with_task:
            kwargs["preexec_fn"] = _die_with_parent()
        return super().submit(application, env=self.child_environment, **kwargs)

    def end_child(self) -> None:
        """Kill the spark-submit process, if it still runs; a driver on the cluster is left alone."""
        if self._submit_sp and self._submit_sp.poll() is None:
            self._submit_sp.kill()


def _die_with_parent() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return set_signal
