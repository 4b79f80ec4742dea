"""RecountOperator: runs jobs/recount.py in client mode, so that the job's log is the task's log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

from include.spark.hook import CleanSubmitHook
from include.spark.submission import RECOUNT_JOB, connector_jars, job_environment, recount_conf

if TYPE_CHECKING:
    from airflow.sdk import Context

MEMORY = "1g"


class RecountOperator(SparkSubmitOperator):
    """Recounts what the plan of a reconciliation run asks for; ends with the job.

    Args:
        run: id of the run whose plan jobs/recount.py reads (templated).
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "run")

    def __init__(self, *, run: str, conn_id: str = "spark_client", **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.run = run

    def execute(self, context: Context) -> None:
        """Submit and wait; the job's exit code decides."""
        from include.settings import get_settings

        settings = get_settings()
        self.name = "recount"
        self.application = str(RECOUNT_JOB)
        self.application_args = ["--run", self.run]
        self.jars = connector_jars(settings)
        self.conf = recount_conf(settings)
        super().execute(context)

    def _get_hook(self) -> CleanSubmitHook:
        return CleanSubmitHook(
            child_environment=job_environment(os.environ),
            dies_with_task=True,
            conf=self.conf,
            conn_id=self._conn_id,
            jars=self.jars,
            driver_memory=MEMORY,
            executor_memory=MEMORY,
            name=self.name,
            application_args=self.application_args,
            deploy_mode="client",
        )
