"""The step of publish_files. What it needs is imported when it runs, since Airflow parses DAG files often."""

from __future__ import annotations

from typing import Any


def publish(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Publish the files that a form chooses; return what became of each.

    Raises:
        RefusedError: the form or the folder is wrong, or files were refused; the others are published.
    """
    from include.contracts.load import ContractError
    from include.files.form import parse_form
    from include.files.inbox import InboxError
    from include.files.report import RefusedFilesError
    from include.files.run import publish_files
    from include.forms import FormError
    from include.refusal import refuse
    from include.settings import get_settings
    from include.summary import log_summary

    try:
        report = publish_files(get_settings(), parse_form(params), dag_run.run_id)
    except (ContractError, FormError, InboxError) as error:
        refuse(error)
    log_summary(report.title(), report.figures())
    if report.refused:
        refuse(RefusedFilesError(report))
    return report.as_dict()
