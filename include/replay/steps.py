"""The steps of replay_dead_letters. What they need is imported when they run, since Airflow parses DAG files often."""

from __future__ import annotations

from typing import Any


def judge(params: dict[str, Any], dag_run: Any) -> dict[str, str]:
    """Judge the dead letters that a form chooses and approve those that pass; return the run and its stream.

    Raises:
        AirflowFailException: the form, or a contract that was edited without a new version, must be mended first.
    """
    from include.contracts import load_contract
    from include.forms import FormError
    from include.refusal import refuse
    from include.replay.form import parse_choice
    from include.replay.run import judge_letters
    from include.settings import get_settings
    from include.summary import log_summary
    from include.warehouse.contract_versions import ContractChangedError

    stream, dry_run = params["stream"], params["dry_run"]
    try:
        choice = parse_choice(params)
        outcome = judge_letters(get_settings(), load_contract(stream), choice, dag_run.run_id, dry_run)
    except (FormError, ContractChangedError) as error:  # another attempt would meet the same
        refuse(error)
    log_summary(
        f"dead letters of {stream}" + (", dry run: none approved" if dry_run else ""), outcome.figures()
    )
    return {"stream": stream, "run": dag_run.run_id}


def await_folding(judged: dict[str, str], params: dict[str, Any]) -> list[dict[str, object]]:
    """Wait until the stream has folded what was approved; return the forms that have its hours sealed again."""
    from include.replay.run import await_folded, reconcile_forms
    from include.settings import get_settings
    from include.summary import log_summary

    stream = judged["stream"]
    found = await_folded(get_settings(), stream, judged["run"], params["limit_seconds"])
    log_summary(f"replay of dead letters of {stream}", found.figures())
    return reconcile_forms(stream, list(found.hours))
