"""Judges the hours of a run: gathers what each verdict depends on and records it. Certifies nothing."""

from __future__ import annotations

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import compare, store
from include.reconcile.judge import Measured, judge
from include.reconcile.types import (
    HOUR,
    CertificateChangedError,
    HourPlan,
    Judgement,
    ReconcileError,
    Recounted,
)
from include.settings import Settings
from include.warehouse.client import connect

AUTO = "auto"


def judge_run(settings: Settings, run: str) -> dict[str, int]:
    """Judge every hour of a run and return how many have each verdict. Running it again changes nothing.

    Raises:
        CertificateChangedError: another run certified one of the hours meanwhile.
        ReconcileError: an hour was to be recounted and was not.
    """
    client = connect(settings)
    verdicts: dict[str, int] = {}
    try:
        recounts = store.read_recounts(client, run)
        for plan in store.read_plans(client, run):
            judgement = _judge_hour(client, plan, recounts.get((plan.stream, plan.hour)))
            store.write_judgement(client, plan, judgement)
            verdicts[judgement.verdict] = verdicts.get(judgement.verdict, 0) + 1
    finally:
        client.disconnect()
    return verdicts


def _judge_hour(client: Client, plan: HourPlan, recounted: Recounted | None) -> Judgement:
    if plan.verdict is not None:
        return Judgement(plan.verdict, plan.reason)
    if recounted is None:
        raise ReconcileError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H} of run {plan.run} was not recounted: see task recount"
        )
    if recounted.verdict is not None:
        return Judgement(recounted.verdict, "; ".join(recounted.findings))
    require_same_base(client, plan)
    return judge(_measured(client, load_contract(plan.stream), plan, recounted))


def _measured(client: Client, contract: Contract, plan: HourPlan, recounted: Recounted) -> Measured:
    base = plan.base
    exact = None
    base_digest = None
    if base is not None:
        base_digest = (base.digest, compare.digest_of(client, contract, plan.hour, base.frontier, base.seal))
        if not compare.has_later_deltas(client, contract, plan):
            exact = compare.compare_exact(client, contract, plan)
    return Measured(
        repair_allowed=plan.repair == AUTO,
        balances=recounted.balances,
        findings=recounted.findings,
        as_they_came=compare.compare_as_they_came(client, contract, plan),
        exact=exact,
        base_digest=base_digest,
        events_as_they_came=recounted.events_as_they_came,
    )


def require_same_base(client: Client, plan: HourPlan) -> None:
    """Check that the certificate in force is still the one that the plan began with, or the plan's own.

    Raises:
        CertificateChangedError: it is another.
    """
    found = store.certificates(client, plan.stream, plan.hour, plan.hour + HOUR).get(plan.hour)
    now = (found.frontier, found.seal) if found else None
    before = (plan.base.frontier, plan.base.seal) if plan.base else None
    if now not in (before, (plan.frontier, plan.seal)):
        raise CertificateChangedError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H}: certificate {before} was replaced by {now} while run {plan.run} "
            "judged it; trigger reconcile_hour again for this hour"
        )
