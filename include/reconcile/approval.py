"""Repairs that wait for a person: what they are asked, and what their answer does.

A run of repair mode `ask` seals what is PROVED and leaves an hour that it could repair as it is,
with the recounted rows already written beside it. The DAG approve_repair asks; an approval certifies
those very rows, so that what is served afterwards is what the person saw.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from include.contracts import Contract, load_contract
from include.reconcile import compare, mend, store
from include.reconcile.judging import require_same_base
from include.reconcile.shown import unlike
from include.reconcile.types import (
    ASK,
    DRIFTED,
    REPAIRED,
    Answer,
    HourPlan,
    Judgement,
    ReconcileError,
)
from include.settings import Settings
from include.warehouse.client import connect

log = logging.getLogger(__name__)

ANSWER_HOURS = 24  # as approve_repair waits
MOST_CELLS_SHOWN = 20  # of an hour
WAITS = "its repair waits for an approval"
Key = tuple[str, datetime]


class NothingWaitsError(ReconcileError):
    """A run has no repair that waits for a person."""


@dataclass(frozen=True)
class WaitingHour:
    """An hour whose repair waits; totals: (cube, measure, served, recounted) as they came, at the contract's scale."""

    plan: HourPlan
    judgement: Judgement
    totals: tuple[tuple[str, str, int, int], ...]


def needs_answer(plan: HourPlan, judgement: Judgement) -> bool:
    """Whether an hour may only be repaired by a person's leave."""
    return plan.repair == ASK and judgement.verdict == REPAIRED


def answered(plan: HourPlan, judgement: Judgement, answer: Answer | None) -> Judgement:
    """Return the verdict of an hour given what a person said; DRIFTED until they approve."""
    if not needs_answer(plan, judgement):
        return judgement
    if answer is None:
        return replace(judgement, verdict=DRIFTED, reason=f"{WAITS}: {judgement.reason}")
    if answer.approved:
        return judgement
    who = f"rejected by {answer.by}" if answer.by else f"not approved within {ANSWER_HOURS} hours"
    return replace(judgement, verdict=DRIFTED, reason=f"its repair was {who}: {judgement.reason}")


def request(settings: Settings, run: str, load: Callable[[str], Contract] = load_contract) -> dict[str, str]:
    """Return subject and body (Markdown) of the question that a run leaves to a person.

    Raises:
        NothingWaitsError: no hour of the run waits.
        CertificateChangedError: another run certified one of them meanwhile, so an approval would be void.
    """
    client = connect(settings)
    try:
        judgements = store.read_judgements(client, run)
        asked = store.read_answers(client, run)
        hours = []
        for plan in store.read_plans(client, run):
            if asked.get(_key(plan), "not asked") is None:
                require_same_base(client, plan)
                totals = compare.totals(client, load(plan.stream), plan)
                hours.append(WaitingHour(plan, judgements[_key(plan)], tuple(totals)))
    finally:
        client.disconnect()
    if not hours:
        raise NothingWaitsError(f"run {run} has no repair that waits for an approval")
    return {"subject": subject(hours), "body": body(hours)}


def subject(hours: list[WaitingHour]) -> str:
    """Return the question in one line."""
    named = ", ".join(f"{item.plan.stream} {item.plan.hour:%Y-%m-%dT%H}" for item in hours[:4])
    more = f" and {len(hours) - 4} more" if len(hours) > 4 else ""
    return f"Repair {named}{more}?"


def body(hours: list[WaitingHour]) -> str:
    """Return what a person needs to decide, in Markdown."""
    parts = [
        "Approve: the recounted figures below are served from then on, under a certificate that names you. "
        f"Reject, or no answer within {ANSWER_HOURS} hours: nothing is changed and the hours stay DRIFTED. "
        "After Reject nobody is asked again until these figures change; after no answer, the next run asks. "
        "Figures are integers at the contract's scale (money in micro-dollars)."
    ]
    return "\n\n".join([*parts, *(_section(item) for item in hours)])


def _section(item: WaitingHour) -> str:
    plan, found = item.plan, item.judgement.differences
    lines = [f"### {plan.stream} {plan.hour:%Y-%m-%d %H}:00 UTC", item.judgement.reason, ""]
    changed = [total for total in item.totals if total[2] != total[3]]
    if changed:
        lines += ["| cube | figure, as it came | served now | after the repair |", "|---|---|---:|---:|"]
        lines += [f"| {cube} | {name} | {served:,} | {after:,} |" for cube, name, served, after in changed]
        lines += [""]
    lines += [f"{len(item.totals) - len(changed)} of {len(item.totals)} totals of the hour stay as they are."]
    shown = found.cells[:MOST_CELLS_SHOWN]
    if shown:
        lines += ["", f"{len(shown)} of {found.total} differing cells:", ""]
        lines += ["| window (UTC) | dimensions | difference | expected | served |", "|---|---|---|---|---|"]
    for cell in shown:
        expected, served = unlike(cell.expected, cell.served)
        lines += [
            f"| {cell.window_start:%H:%M} | {_plain(cell.dimensions)} | {cell.kind} {cell.drift} "
            f"| {expected or 'nothing'} | {served or 'nothing'} |"
        ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a text that cannot break a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def answer_of(response: Mapping[str, Any], approve: str) -> Answer:
    """Return the answer that Airflow's approval gave; approve is the option that means yes."""
    user = response.get("responded_by_user") or {}
    return Answer(approve in response["chosen_options"], str(user.get("name") or user.get("id") or ""))


def take_answer(
    settings: Settings, run: str, answer: Answer, load: Callable[[str], Contract] = load_contract
) -> list[Key]:
    """Record an answer and, where it approves, mend the ledger as far as the hours' findings say; return the hours.

    Running it again changes nothing. The hours are certified by seal_run.

    Raises:
        CertificateChangedError: another run certified one of the hours meanwhile: the approval is void.
    """
    client = connect(settings)
    try:
        asked = store.read_answers(client, run)
        plans = [plan for plan in store.read_plans(client, run) if _key(plan) in asked]
        if answer.approved:
            for plan in plans:
                require_same_base(client, plan)
            for stream in sorted({plan.stream for plan in plans}):
                own = [plan for plan in plans if plan.stream == stream and plan.findings]
                findings = {finding for plan in own for finding in plan.findings}
                if findings:
                    number = min(plan.seal for plan in own)
                    mend.write_approved(settings, client, load(stream), findings, number)
        for plan in plans:
            store.write_answer(client, plan, answer)
    finally:
        client.disconnect()
    who = answer.by or "nobody in time"
    log.info(
        "hours of run %s: %s, %s by %s", run, len(plans), "approved" if answer.approved else "rejected", who
    )
    return [_key(plan) for plan in plans]


def _key(plan: HourPlan) -> Key:
    return plan.stream, plan.hour
