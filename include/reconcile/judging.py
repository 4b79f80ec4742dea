"""Judges the hours of a run: gathers what each verdict depends on and records it. Certifies nothing."""

from __future__ import annotations

from collections.abc import Callable

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import compare, store
from include.reconcile.drifts import BatchEvidence, all_drifts, batch_drifts
from include.reconcile.judge import Measured, judge
from include.reconcile.types import (
    ASK,
    AUTO,
    HOUR,
    CertificateChangedError,
    Differences,
    HourPlan,
    Judgement,
    ReconcileError,
    Recounted,
)
from include.reconcile.versions import KeptContracts, comparable
from include.settings import Settings
from include.streaming.ledger import read_limits, validity
from include.warehouse.client import connect
from include.warehouse.sql import read_sql


def judge_run(
    settings: Settings, run: str, load: Callable[[str], Contract] = load_contract
) -> dict[str, int]:
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
            judgement = _judge_hour(client, load, plan, recounts.get((plan.stream, plan.hour)))
            store.write_judgement(client, plan, judgement)
            verdicts[judgement.verdict] = verdicts.get(judgement.verdict, 0) + 1
    finally:
        client.disconnect()
    return verdicts


def _judge_hour(
    client: Client, load: Callable[[str], Contract], plan: HourPlan, recounted: Recounted | None
) -> Judgement:
    if plan.verdict is not None:
        return Judgement(plan.verdict, plan.reason, drifts=all_drifts(plan.findings, (), Differences()))
    if recounted is None:
        raise ReconcileError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H} of run {plan.run} was not recounted: see task recount"
        )
    if recounted.verdict is not None:
        return Judgement(recounted.verdict, "; ".join(recounted.findings))
    require_same_base(client, plan)
    return judge(_measured(client, load(plan.stream), plan, recounted))


def _measured(client: Client, contract: Contract, plan: HourPlan, recounted: Recounted) -> Measured:
    base, folded = plan.base, comparable(contract, plan.filled)
    exact = None
    base_digest = None
    if base is not None:
        certified = KeptContracts(client, contract).of(plan.base_contract_version)
        base_digest = (base.digest, compare.digest_of(client, certified, plan.hour, base.frontier, base.seal))
        if not compare.has_later_deltas(client, contract, plan):
            exact = compare.compare_exact(client, folded, plan)
    as_they_came = compare.compare_as_they_came(client, folded, plan)
    differs = as_they_came.total or (exact is not None and exact.total)
    return Measured(
        repair_allowed=plan.repair in (AUTO, ASK),
        balances=recounted.balances,
        findings=plan.findings + recounted.findings,
        as_they_came=as_they_came,
        exact=exact,
        base_digest=base_digest,
        events_as_they_came=recounted.events_as_they_came,
        batches=tuple(_batch_drifts(client, folded, plan)) if differs else (),
        counts={cube.name: cube.plain_count for cube in folded.cubes if cube.plain_count},
        extremes={c.name: {m.name for m in c.measures if m.kind in ("min", "max")} for c in folded.cubes},
        filled=plan.filled,
    )


def _batch_drifts(client: Client, contract: Contract, plan: HourPlan) -> list[tuple[str, str]]:
    """Return the batches of an hour that are missing or doubled in any cube that counts events."""
    listed = _listed(client, plan)
    found: dict[tuple[str, str], None] = {}
    for cube in contract.cubes:
        served = compare.served_by_batch(client, cube, plan)
        if served is not None:
            evidence = [
                BatchEvidence(b, listed.get(b), served.get(b, 0)) for b in sorted(listed.keys() | served)
            ]
            found |= dict.fromkeys(batch_drifts(evidence))
    return list(found)


def _listed(client: Client, plan: HourPlan) -> dict[int, int]:
    """Return how many events of the hour each valid batch after the base lists."""
    _, keep = read_limits(client, plan.stream)
    values = {
        "stream": plan.stream,
        "hour": store.text(plan.hour),
        "base_frontier": plan.base.frontier if plan.base else 0,
        "frontier": plan.frontier,
        **validity(keep),
    }
    return dict(client.execute(read_sql("reconcile/hour_batches.sql.j2"), values))


def certificate_in_force(client: Client, plan: HourPlan) -> tuple[int, int] | None:
    """Return (frontier, seal) of the certificate of the plan's hour, None where it has none."""
    found = store.certificates(client, plan.stream, plan.hour, plan.hour + HOUR).get(plan.hour)
    return (found.frontier, found.seal) if found else None


def require_same_base(client: Client, plan: HourPlan) -> None:
    """Check that the certificate in force is still the one that the plan began with, or the plan's own.

    Raises:
        CertificateChangedError: it is another.
    """
    now = certificate_in_force(client, plan)
    before = (plan.base.frontier, plan.base.seal) if plan.base else None
    if now not in (before, (plan.frontier, plan.seal)):
        raise CertificateChangedError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H}: certificate {before} was replaced by {now} while run {plan.run} "
            "judged it; trigger reconcile_hour again for this hour"
        )
