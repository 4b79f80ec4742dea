"""The steps of reconcile_hour. What they need is imported when they run, since Airflow parses DAG files often."""

from __future__ import annotations

from typing import Any

APPROVE, REJECT = "Approve", "Reject"


def plan(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Plan a run from its form, schedule or backfill; return its id and how many hours are to be recounted.

    Raises:
        RefusedError: the form names no range that a run can work through.
    """
    from include.forms import FormError
    from include.reconcile.trigger import plan_run
    from include.refusal import refuse

    try:
        return plan_run(params, dag_run.run_type, dag_run.logical_date)
    except FormError as error:
        refuse(error)


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
    from include.reconcile.certificate import FOLDER
    from include.reconcile.report import log_table
    from include.reconcile.seal import seal_run
    from include.settings import get_settings

    settings = get_settings()
    log_table(seal_run(settings, run), run, settings.artifacts_dir / FOLDER)


def publish(outlet_events: Any) -> list[list[Any]]:
    """Make each certificate in force that was not published yet a partition of its stream's asset.

    Returns:
        Stream, partition key, frontier and seal of each.

    Raises:
        AirflowSkipException: there is none.
    """
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException

    from include.contracts import stream_names
    from include.reconcile.publication import unpublished
    from include.settings import get_settings

    found = unpublished(get_settings())
    if not found:
        raise AirflowSkipException("every verified hour is published")
    for stream in stream_names():
        keys = [key for name, key, *_ in found if name == stream]
        outlet_events[Asset(f"proved_{stream}")].add_partitions(keys)
    return [list(item) for item in found]


def remember_published(run: str, published: list[list[Any]]) -> None:
    """Note what was published, so that no later run does it again."""
    from include.reconcile.publication import remember
    from include.settings import get_settings

    remember(
        get_settings(), run, [(stream, key, frontier, seal) for stream, key, frontier, seal in published]
    )


def rest_of_range(planned: dict[str, Any]) -> bool:
    """Say whether a run leaves a rest of its range to a further one."""
    return planned["rest"] is not None


def waits_for_approval(run: str) -> bool:
    """Say whether a repair of a run waits for a person."""
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    return any(line.waits for line in run_lines(get_settings(), run))


def ask(params: dict[str, Any]) -> dict[str, str]:
    """Return subject and body of the question that a run leaves to a person."""
    from include.reconcile.approval import request
    from include.settings import get_settings

    return request(get_settings(), params["run"])


def settle(params: dict[str, Any], ti: Any) -> None:
    """Do what a person answered.

    Raises:
        CertificateChangedError: another run certified an hour meanwhile: the approval is void.
        HoursNotProvedError: an approved repair did not prove equal, and is withdrawn.
    """
    from include.reconcile.approval import answer_of, take_answer
    from include.reconcile.certificate import FOLDER
    from include.reconcile.report import log_table, require_no_failure
    from include.reconcile.seal import seal_run
    from include.settings import get_settings

    settings, run = get_settings(), params["run"]
    answer = answer_of(ti.xcom_pull(task_ids="approve"), APPROVE)
    lines = seal_run(settings, run, hours=take_answer(settings, run, answer))
    log_table(lines, run, settings.artifacts_dir / FOLDER)
    _tell("approve_repair", ("ask", "settle"))
    if answer.approved:
        require_no_failure(lines)


def _tell(dag: str, tasks: tuple[str, ...]) -> None:
    """Tell of the hours that are not proved, and that those are over which are; the tasks' own failures are, too.

    Alerts of hours that are sealed now are judged for good.
    """
    from datetime import UTC, datetime

    from airflow.sdk import get_current_context

    from include.alerts.incidents import open_keys
    from include.alerts.notifier import task_key
    from include.alerts.telling import mend, tell_once
    from include.contracts import load_contract, stream_names
    from include.detect.seal import judge_sealed
    from include.reconcile.alerting import PREFIX, incidents, read_bad_hours
    from include.reconcile.certificate import FOLDER
    from include.settings import get_settings
    from include.warehouse.client import connect

    settings, context = get_settings(), dict(get_current_context())
    lateness = {stream: load_contract(stream).lateness_seconds for stream in stream_names()}
    client = connect(settings)
    try:
        bad, known = read_bad_hours(client, lateness, datetime.now(UTC)), open_keys(client, PREFIX)
    finally:
        client.disconnect()
    looked = f"certificates in {settings.artifacts_dir / FOLDER}, {dag} run {context['run_id']}"
    there, over = incidents(bad, known, looked)
    tell_once(context, there)
    mend(context, [*over, *(task_key(dag, task) for task in tasks)])
    judge_sealed(settings)


def require_proof(run: str) -> None:
    """Tell people of hours that are not proved; end quietly when no hour of this run is DRIFTED or UNPROVABLE.

    Raises:
        HoursNotProvedError: one is; the message names stream, hour, counts and where to look.
    """
    from include.reconcile.report import require_no_failure
    from include.reconcile.seal import run_lines
    from include.settings import get_settings

    _tell("reconcile_hour", ("plan", "recount", "judge", "seal", "require_proof"))
    require_no_failure(run_lines(get_settings(), run))
