"""Airflow's REST API as a user has it: trigger a DAG, wait for its run, read what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import (
    Retrying,
    retry,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

POLL_SECONDS = 1.0
ATTEMPTS = 3


class AirflowRunError(RuntimeError):
    """A DAG run failed, did not end in time, or was refused; the message holds the end of the failed task's log."""


@dataclass(frozen=True)
class DagRun:
    """A run that ended well: what its tasks returned, by task id, and how long it took in seconds."""

    dag: str
    run_id: str
    returned: dict[str, Any]
    seconds: float


class AirflowApi:
    """A session of one user; the token is asked for once."""

    def __init__(self, address: str, user: str, password: str) -> None:
        answer = httpx.post(
            f"{address}/auth/token", json={"username": user, "password": password}, timeout=30
        ).raise_for_status()
        token = answer.json()["access_token"]
        self.address = address
        self._http = httpx.Client(
            base_url=f"{address}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    @retry(retry=retry_if_exception_type(httpx.TransportError), wait=wait_fixed(1), stop=stop_after_delay(30))
    def _get(self, path: str, **parameters: Any) -> Any:
        return self._http.get(path, params=parameters).raise_for_status().json()

    def dags(self) -> set[str]:
        """Return the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self._get("/dags", limit=200)["dags"]}

    def import_errors(self) -> list[str]:
        """Return file and error of DAG files that do not load."""
        return [f"{e['filename']}: {e['stack_trace']}" for e in self._get("/importErrors")["import_errors"]]

    def trigger(self, dag: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a DAG with the values of its form and return the run's id.

        Airflow on SQLite now and then answers 500, when another of its writers has the lock for 5 s. The run has
        its name before it is asked for, so that to ask again makes no second one.

        Raises:
            AirflowRunError: the form refuses the values, or Airflow fails each time.
        """
        name = f"manual__{datetime.now(UTC).isoformat()}"
        asked = {"dag_run_id": name, "logical_date": None, "conf": conf or {}}
        attempts = Retrying(
            retry=retry_if_result(lambda answer: answer.is_server_error),
            wait=wait_fixed(POLL_SECONDS),
            stop=stop_after_attempt(ATTEMPTS),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        answer = attempts(self._http.post, f"/dags/{dag}/dagRuns", json=asked)
        if answer.status_code == httpx.codes.CONFLICT and attempts.statistics["attempt_number"] > 1:
            return name
        if answer.is_error:
            raise AirflowRunError(f"{dag} was refused: {answer.text[:1000]}")
        return name

    def set_paused(self, dag: str, paused: bool) -> None:
        """Pause the schedule of a DAG, or let it go on."""
        self._http.patch(f"/dags/{dag}", json={"is_paused": paused}).raise_for_status()

    def state(self, dag: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self._get(f"/dags/{dag}/dagRuns/{run_id}")["state"])

    def runs(self, dag: str, since: str) -> list[str]:
        """Return the ids of runs created since an ISO time, oldest first."""
        found = self._get(f"/dags/{dag}/dagRuns", run_after_gte=since, order_by="run_after", limit=100)
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def partitions(self, asset: str) -> set[str]:
        """Return the partition keys of the newest events of an asset, at most 100 of them."""
        (found,) = self._get("/assets", name_pattern=asset)["assets"]
        events = self._get("/assets/events", asset_id=found["id"], order_by="-timestamp", limit=100)
        return {event["partition_key"] for event in events["asset_events"] if event["partition_key"]}

    def wait(
        self, dag: str, run_id: str, limit_seconds: float, progress: Callable[[], None] | None = None
    ) -> DagRun:
        """Wait until a run has ended well, calling `progress` every second.

        Raises:
            AirflowRunError: it failed, or did not end within the limit.
        """
        since = time.monotonic()
        while (state := self.state(dag, run_id)) not in ("success", "failed"):
            if time.monotonic() - since > limit_seconds:
                raise AirflowRunError(
                    f"{dag} {run_id} is {state} after {limit_seconds:.0f} s\n{self._evidence(dag, run_id)}"
                )
            if progress is not None:
                progress()
            time.sleep(POLL_SECONDS)
        if state == "failed":
            raise AirflowRunError(f"{dag} {run_id} failed\n{self._evidence(dag, run_id)}")
        return DagRun(dag, run_id, dict(self._returned(dag, run_id)), time.monotonic() - since)

    def run(self, dag: str, conf: dict[str, Any] | None = None, limit_seconds: float = 300) -> DagRun:
        """Trigger a DAG and wait for it."""
        return self.wait(dag, self.trigger(dag, conf), limit_seconds)

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(self._get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def log(self, dag: str, run_id: str, task: str, attempt: int) -> str:
        """Return a task's log as text, a line a message."""
        content = self._get(
            f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}", full_content=True
        )
        return "\n".join(_lines(content["content"]))

    def _returned(self, dag: str, run_id: str) -> Iterator[tuple[str, Any]]:
        for task in self.tasks(dag, run_id):
            path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task['task_id']}/xcomEntries/return_value"
            answer = self._http.get(path, params={"deserialize": True})
            if answer.status_code != httpx.codes.NOT_FOUND:
                yield task["task_id"], answer.raise_for_status().json()["value"]

    def _evidence(self, dag: str, run_id: str) -> str:
        parts = []
        for task in self.tasks(dag, run_id):
            if task["state"] in ("failed", "running", "up_for_retry"):
                tail = self.log(dag, run_id, task["task_id"], task["try_number"]).splitlines()[-25:]
                parts.append(f"-- {task['task_id']} is {task['state']}; its log ends:\n" + "\n".join(tail))
        return "\n".join(parts)


def _lines(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield from content.splitlines()
        return
    for entry in content:
        if isinstance(entry, dict):
            yield str(entry.get("event", ""))
            for error in entry.get("error_detail") or []:
                yield f"{error.get('exc_type')}: {error.get('exc_value')}"
