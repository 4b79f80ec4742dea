"""LaunchStreamOperator: submits the streaming job in cluster mode and ends when it is seen running.

What is submitted is built in submission.py, where it may begin is judged in start.py, and what became of it in
arrival.py. Loaded when a DAG is parsed, so that everything heavy is imported inside the methods.
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

    from include.spark.heartbeats import Heartbeat

log = logging.getLogger(__name__)
SUBMIT_CLASS = "org.apache.spark.deploy.SparkSubmit"
LAUNCH_KEY = "launch"


class LaunchStreamOperator(SparkSubmitOperator):
    """Launches one driver for some streams; when a healthy one runs already, submits nothing.

    Each launch, and each that finds the streams running, is recorded in `orders` under the DAG's id.

    Args:
        streams: stream names, or one string with commas between them (templated).
        trigger_seconds: seconds between micro-batches (templated).
        max_offsets: most offsets in a micro-batch; 0 takes PLATFORM_MAX_OFFSETS_PER_BATCH (templated).
        start: where a stream without a ledger starts, `earliest`, an ISO timestamp, or empty for earliest; a stream
            that has a ledger goes on where it ends (templated).
        skip_to: STREAM=ISO, commas between them: streams that a person lets go on past their ledger (templated).
        confirm_rebuild: whether a stream whose ledger was lost begins again from earliest (templated).
        force: launch although the driver says that it is healthy; the old one is fenced (templated).
        limit_seconds: how long the driver may take until it is seen running.

    Running it again after a crash goes on with the driver that it had submitted, which it knows by its launch id.

    Returns, as XCom: submitted, launch, driver (id), per stream its generation, and `taken_over`: by stream the
    launch that won, where another launch at the same moment did. Raises StartRefusedError before anything is
    submitted, LaunchFailedError after.
    """

    template_fields: Sequence[str] = (
        *SparkSubmitOperator.template_fields,
        *("streams", "trigger_seconds", "max_offsets", "start", "skip_to", "confirm_rebuild", "force"),
    )

    def __init__(
        self,
        *,
        streams: Sequence[str] | str,
        trigger_seconds: float | str = 1.0,
        max_offsets: int | str = 0,
        start: str = "",
        skip_to: str = "",
        confirm_rebuild: bool | str = False,
        force: bool | str = False,
        limit_seconds: float = 150.0,
        conn_id: str = "spark_cluster",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.streams = streams
        self.trigger_seconds = trigger_seconds
        self.max_offsets = max_offsets
        self.start = start
        self.skip_to = skip_to
        self.confirm_rebuild = confirm_rebuild
        self.force = force
        self.limit_seconds = limit_seconds
        self._waiting: dict[str, int] = {}
        self._ordered_at = 0
        self._outcome: dict[str, Any] = {}

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Submit unless a healthy driver runs, and wait until the launch is seen running."""
        from include.settings import get_settings
        from include.spark import progress, start_evidence

        settings = get_settings()
        launch = StreamLaunch(
            streams=_names(self.streams),
            launch=uuid.uuid4().hex[:12],
            trigger_seconds=float(self.trigger_seconds),
            max_offsets=int(self.max_offsets) or settings.max_offsets_per_batch,
            start=self.start or "earliest",
            skip_to=_names(self.skip_to),
        )
        rebuilt = start_evidence.guard_launch(
            settings, launch, confirm_rebuild=_is_true(self.confirm_rebuild)
        )
        running = (
            {} if _is_true(self.force) or rebuilt else progress.running_launches(settings, launch.streams)
        )
        if set(running) == set(launch.streams):
            return self._already_running(running, launch)
        for beat in running.values():
            log.info(
                "%s runs as generation %d of launch %s: the new driver goes on with it where its ledger ends",
                *(beat.stream, beat.generation, beat.launch),
            )
        skips = dict(skip.split("=", 1) for skip in launch.skip_to)
        self._waiting = {
            s: progress.waiting_offsets(settings, s, launch.start, skips.get(s, "")) for s in launch.streams
        }
        log.info("offsets beyond the ledger: %s", self._waiting)
        self._prepare(launch)
        self._find_earlier(context)
        super().execute(context)
        return self._outcome

    def _already_running(self, running: dict[str, Heartbeat], launch: StreamLaunch) -> dict[str, Any]:
        for heartbeat in running.values():
            log.info(
                "nothing submitted: %s already runs, generation %d, launch %s, lag %d, heartbeat %.1f s ago",
                *(heartbeat.stream, heartbeat.generation, heartbeat.launch, heartbeat.lag),
                heartbeat.age_seconds(),
            )
        if launch.skip_to:
            log.warning("nothing is left out of %s: the stream runs, and goes on where it is", launch.skip_to)
        self._record(launch, {stream: heartbeat.launch for stream, heartbeat in running.items()})
        generations = {stream: heartbeat.generation for stream, heartbeat in running.items()}
        return {"submitted": False, "streams": generations}

    def _prepare(self, launch: StreamLaunch) -> None:
        from include.settings import get_settings

        settings = get_settings()
        self._launch = launch
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

    def _find_earlier(self, context: Context) -> None:
        """Name the driver that an attempt submitted, and did not live to note, so that it is gone on with."""
        from include.settings import get_settings
        from include.spark.cluster import find_launch

        store = context.get("task_state_store")
        earlier = store.get(LAUNCH_KEY) if store is not None else None
        if store is None or not isinstance(earlier, str) or store.get(self.external_id_key):
            return
        if driver := find_launch(get_settings(), earlier):
            log.info("an earlier attempt submitted driver %s of launch %s: going on with it", driver, earlier)
            store.set(self.external_id_key, {"driver": driver, "launch": earlier})

    def _record(self, launch: StreamLaunch, ids: dict[str, str]) -> None:
        from include.settings import get_settings
        from include.spark.orders import LAUNCH, Order, record_all

        orders = [
            Order(
                stream=stream,
                kind=LAUNCH,
                by=self.dag_id,
                launch=ids[stream],
                streams=launch.streams,
                trigger_seconds=launch.trigger_seconds,
                max_offsets=launch.max_offsets,
                start=self.start,
            )
            for stream in launch.streams
        ]
        record_all(get_settings(), orders)
        self._ordered_at = max(order.at for order in orders)

    def _get_hook(self) -> CleanSubmitHook:
        return CleanSubmitHook(
            child_environment=submit_environment(os.environ),
            supervise=True,
            dies_with_task=True,  # a retry must not be overtaken by the submission of the attempt before
            conf=self.conf,
            conn_id=self._conn_id,
            java_class=self._java_class,
            driver_memory=self._driver_memory,
            name=self.name,
            application_args=self.application_args,
            deploy_mode="cluster",
        )

    def submit_job(self, context: Context) -> Any:
        """Note the launch, order it and submit; launch and driver id outlive this attempt in the task's state store."""
        store = context.get("task_state_store")
        if store is not None:
            store.set(LAUNCH_KEY, self._launch.launch)
        self._record(self._launch, dict.fromkeys(self._launch.streams, self._launch.launch))
        return {"driver": super().submit_job(context), "launch": self._launch.launch}

    def get_job_status(self, external_id: Any, context: Context) -> str:  # noqa: ARG002
        """Return the driver's state; NOT_FOUND, so that a retry submits anew, where the launch has no driver left."""
        from include.settings import get_settings
        from include.spark.cluster import DEAD_STATES, driver_state, find_launch

        settings = get_settings()
        state = driver_state(settings, external_id["driver"])
        relaunched = state in DEAD_STATES and find_launch(settings, external_id["launch"])
        return "RUNNING" if relaunched else state

    def is_job_succeeded(self, status: str) -> bool:  # noqa: ARG002
        """A driver that ended is never a launch that succeeded: a retry submits anew."""
        return False

    def poll_until_complete(self, external_id: Any, context: Context) -> None:  # noqa: ARG002
        """Wait until the launch runs and, where data waits, has committed, or another launch has won."""
        from include.settings import get_settings
        from include.spark import arrival

        found = arrival.await_running(
            get_settings(),
            streams=self._launch.streams,
            launch=external_id["launch"],
            driver=external_id["driver"],
            must_commit={stream for stream, offsets in self._waiting.items() if offsets},
            limit_seconds=self.limit_seconds,
            ordered_at=self._ordered_at,
        )
        self._outcome = {"submitted": True, **external_id, "streams": found.generations}
        if found.taken_over:
            self._outcome["taken_over"] = found.taken_over
        if found.stopped:
            self._outcome["stopped"] = list(found.stopped)

    def on_kill(self) -> None:
        """End the spark-submit child and leave the driver: a stream does not die with a task."""
        if isinstance(self._hook, CleanSubmitHook):
            self._hook.end_child()


def _names(values: Sequence[str] | str) -> tuple[str, ...]:
    names = values.split(",") if isinstance(values, str) else values
    return tuple(sorted({name.strip() for name in names if name.strip()}))


def _is_true(value: bool | str) -> bool:
    return value if isinstance(value, bool) else value.strip().lower() == "true"
