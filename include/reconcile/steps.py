"""The steps of reconcile_hour. What they need is imported when they run, since Airflow parses DAG files often."""

from __future__ import annotations

from typing import Any


def plan(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Plan a run from its form, schedule or backfill; return its id and how many hours are to be recounted."""
    from include.reconcile.trigger import plan_run

    return plan_run(params, dag_run.run_type, dag_run.logical_date)


def is_to_recount(planned: dict[str, Any]) -> bool:
    """Say whether a planned run has anything to recount."""
    return bool(planned["to_recount"])


def judge(run: str) -> dict[str, int]:
    """Judge every hour of a run; return how many have each verdict."""
    from include.reconcile.judging import judge_run
    from include.settings import get_settings

    return judge_run(get_settings(), run)


def seal(run: str) -> None:
    """Certify the hours that were judged PROVED or REPAIRED, and log one line an hour."""
    from include.reconcile.report import log_table
    from include.reconcile.seal import seal_run
    from include.settings import get_settings

    log_table(seal_run(get_settings(), run))


def verified_hours(run: str) -> dict[str, list[str]]:
    """Return the partition keys of the verified hours of each stream; streams without any are absent."""
    from include.reconcile.report import verified
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    return verified(run_lines(get_settings(), run))


def require_proof(run: str) -> None:
    """End quietly when no hour of a run is DRIFTED or UNPROVABLE.

    Raises:
        HoursNotProvedError: one is; the message names stream, hour, counts and where to look.
    """
    from include.reconcile.report import require_no_failure
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    require_no_failure(run_lines(get_settings(), run))
