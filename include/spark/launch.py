"""LaunchStreamOperator: submits the streaming job in cluster mode and ends when it is seen running.

What is submitted is built in submission.py; what counts as running is decided in progress.py.
Loaded when a DAG is parsed, so that everything heavy is imported inside the methods.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

from include.spark.hook import CleanSubmitHook
from include.spark.submission import (
    QUICK_START,
    StreamLaunch,
    spark_core_jar,
    stream_arguments,
    submit_environment,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)
SUBMIT_CLASS = "org.apache.spark.deploy.SparkSubmit"


class LaunchStreamOperator(SparkSubmitOperator):
    """Launches one driver for some streams; when a healthy one runs already, submits nothing.

    Args:
        streams: stream names, or one string with commas between them (templated).
        trigger_seconds: seconds between micro-batches (templated).
        max_offsets: most offsets in a micro-batch; 0 takes PLATFORM_MAX_OFFSETS_PER_BATCH (templated).
        start: where a stream without a ledger starts, `earliest` or an ISO timestamp (templated).
        limit_seconds: how long the driver may take until it is seen running.

    Returns, as XCom: submitted, launch, driver (id), and per stream its generation.
    """

    template_fields: Sequence[str] = (
        *SparkSubmitOperator.template_fields,
        *("streams", "trigger_seconds", "max_offsets", "start"),
    )

    def __init__(
        self,
        *,
        streams: Sequence[str] | str,
        trigger_seconds: float | str = 1.0,
        max_offsets: int | str = 0,
        start: str = "earliest",
        limit_seconds: float = 150.0,
        conn_id: str = "spark_cluster",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.streams = streams
        self.trigger_seconds = trigger_seconds
        self.max_offsets = max_offsets
        self.start = start
        self.limit_seconds = limit_seconds
        self._waiting: dict[str, int] = {}
        self._outcome: dict[str, Any] = {}

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Submit unless a healthy driver runs, and wait until the launch is seen running."""
        from include.settings import get_settings
        from include.spark.progress import running_launches, waiting_offsets

        settings = get_settings()
        streams = self._streams()
        running = running_launches(settings, streams)
        if set(running) == set(streams):
            for heartbeat in running.values():
                log.info(
                    "nothing submitted: %s already runs, generation %d, launch %s, lag %d, heartbeat %.1f s ago",
                    *(heartbeat.stream, heartbeat.generation, heartbeat.launch, heartbeat.lag),
                    heartbeat.age_seconds(),
                )
            generations = {stream: heartbeat.generation for stream, heartbeat in running.items()}
            return {"submitted": False, "streams": generations}
        self._waiting = {stream: waiting_offsets(settings, stream, self.start) for stream in streams}
        log.info("offsets beyond the ledger: %s", self._waiting)
        launch = StreamLaunch(
            streams=streams,
            launch=uuid.uuid4().hex[:12],
            trigger_seconds=float(self.trigger_seconds),
            max_offsets=int(self.max_offsets) or settings.max_offsets_per_batch,
            start=self.start,
        )
        self.name = launch.application_name
        self.application = spark_core_jar()
        self.application_args = stream_arguments(settings, launch)
        self.conf = {
            "spark.master.rest.enabled": "true",
            "spark.driver.cores": "1",
            "spark.driver.extraJavaOptions": QUICK_START,
        }
        self._driver_memory = f"{settings.stream_driver_memory_mb}m"
        self._java_class = SUBMIT_CLASS
        self._launch = launch.launch
        super().execute(context)
        return self._outcome

    def _streams(self) -> tuple[str, ...]:
        names = self.streams.split(",") if isinstance(self.streams, str) else self.streams
        return tuple(sorted({name.strip() for name in names if name.strip()}))

    def _get_hook(self) -> CleanSubmitHook:
        return CleanSubmitHook(
            child_environment=submit_environment(os.environ),
            supervise=True,
            conf=self.conf,
            conn_id=self._conn_id,
            java_class=self._java_class,
            driver_memory=self._driver_memory,
            name=self.name,
            application_args=self.application_args,
            deploy_mode="cluster",
        )

    def submit_job(self, context: Context) -> Any:
        """Submit; the driver id and the launch id together outlive this attempt in the task's state store."""
        return {"driver": super().submit_job(context), "launch": self._launch}

    def get_job_status(self, external_id: Any, context: Context) -> str:  # noqa: ARG002
        """Return the driver's state; an answer without success is NOT_FOUND, so that a retry submits anew."""
        from include.settings import get_settings
        from include.spark.cluster import driver_state

        return driver_state(get_settings(), external_id["driver"])

    def is_job_succeeded(self, status: str) -> bool:  # noqa: ARG002
        """A driver that ended is never a launch that succeeded: a retry submits anew."""
        return False

    def poll_until_complete(self, external_id: Any, context: Context) -> None:  # noqa: ARG002
        """Wait until the launch's heartbeat says running and, where data waits, its ledger has a row."""
        from include.settings import get_settings
        from include.spark.progress import await_running

        settings = get_settings()
        generations = await_running(
            settings,
            streams=self._streams(),
            launch=external_id["launch"],
            driver=external_id["driver"],
            must_commit={stream for stream, offsets in self._waiting.items() if offsets},
            limit_seconds=self.limit_seconds,
        )
        self._outcome = {"submitted": True, **external_id, "streams": generations}

    def on_kill(self) -> None:
        """End the spark-submit child and leave the driver: a stream does not die with a task."""
        if isinstance(self._hook, CleanSubmitHook):
            self._hook.end_child()
