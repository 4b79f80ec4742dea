"""IncidentNotifier: a task's failure becomes an incident, told once through the notifiers that are configured.

Used as `on_failure_callback` of tasks. An error that carries `incidents`, or none, names them itself; any
other failure is the incident of its task. What no notifier could tell stays untold, and is tried
again at the next failure. The log and the table `incidents` hold it in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.alerts.incidents import Incident

MESSAGE_LENGTH = 4000


class IncidentNotifier(BaseNotifier):
    """Opens the incidents of a failed task and tells those that are new."""

    def notify(self, context: Context) -> None:
        """Open and tell; the failure of one incident or notifier is logged and stops no other."""
        from include.alerts.telling import tell_once

        tell_once(cast("dict[str, Any]", context), _incidents(context))


def task_key(dag_id: str, task_id: str) -> str:
    """Return the key of the incident of a task whose error names no incidents itself."""
    return f"task:{dag_id}.{task_id}"


def _incidents(context: Context) -> tuple[Incident, ...]:
    from include.alerts.incidents import Incident

    error = context.get("exception")
    carried: tuple[Incident, ...] | None = getattr(error, "incidents", None)
    if carried is not None:
        return carried
    ti = context["ti"]
    what = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error or "killed")
    return (
        Incident(
            key=task_key(ti.dag_id, ti.task_id),
            stream="",
            severity="critical",
            title=f"{ti.dag_id}.{ti.task_id} failed",
            message=f"{what[:MESSAGE_LENGTH]} (run {ti.run_id}; the task's log in Airflow has the rest)",
        ),
    )
