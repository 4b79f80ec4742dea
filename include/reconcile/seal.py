"""Certifies the hours of a run: one grace period, then one insert an hour, which switches readers over."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.clock import now_ms
from include.contracts import Contract, load_contract
from include.reconcile import compare, store
from include.reconcile.amend import amendments, record, unproved
from include.reconcile.approval import answered, needs_answer
from include.reconcile.certificate import REPAIRED_BY, certificate_document
from include.reconcile.judging import certificate_in_force, require_same_base
from include.reconcile.rejected import served_now
from include.reconcile.report import HourLine
from include.reconcile.types import (
    CERTIFYING,
    DRIFTED,
    UNPROVABLE,
    Answer,
    CertificateChangedError,
    HourPlan,
    Judgement,
    Recounted,
)
from include.settings import Settings
from include.warehouse.client import connect

log = logging.getLogger(__name__)


def seal_run(
    settings: Settings,
    run: str,
    load: Callable[[str], Contract] = load_contract,
    hours: Collection[tuple[str, datetime]] | None = None,
) -> list[HourLine]:
    """Insert the certificates, verdicts and differences of a run, or of some of its hours; return one line an hour.

    An hour whose repair waits for a person is DRIFTED so far; the others do not wait for it.

    Running it again certifies what is left and doubles nothing. An hour whose rows are not those that were read
    back, before its certificate or right after, becomes DRIFTED. No certificate is taken back, since readers may
    have used it; its digest no longer fits its rows, so the next run takes the hour up whatever else happens.

    Raises:
        CertificateChangedError: another run certified an hour meanwhile; all other hours are certified.
    """
    client = connect(settings)
    try:
        plans = [p for p in store.read_plans(client, run) if hours is None or (p.stream, p.hour) in hours]
        recounts = store.read_recounts(client, run)
        judged, answers = store.read_judgements(client, run), store.read_answers(client, run)
        judgements = {key: answered(plan, judged[key], answers.get(key)) for key, plan in _keyed(plans)}
        if any(judgement.verdict in CERTIFYING for judgement in judgements.values()):
            log.info("waiting %s s for queries that began before the sealed rows", settings.grace_seconds)
            time.sleep(settings.grace_seconds)
        done = {tuple(row) for row in client.execute(read_verdicts(), {"run": run})}
        lines = []
        overtaken: list[CertificateChangedError] = []
        for key, plan in _keyed(plans):
            judgement, recounted = judgements[key], recounts.get(key)
            try:
                if judgement.verdict in CERTIFYING and recounted is not None:
                    judgement = _certified(
                        client, load(plan.stream), plan, recounted, judgement, answers.get(key)
                    )
            except CertificateChangedError as error:
                overtaken.append(error)
                continue
            if judgement.verdict == UNPROVABLE:
                judgement = _with_late_events(client, load(plan.stream), plan, judgement)
            if (plan.stream, plan.seal, judgement.verdict, judgement.reason) not in done:
                _publish_verdict(client, plan, judgement)
            waits = needs_answer(plan, judged[key]) and answers.get(key) is None
            if waits:
                store.write_asked(client, plan, served_now(client, load(plan.stream), plan))
            lines.append(HourLine.of(plan, recounted, judgement, waits))
    finally:
        client.disconnect()
    if overtaken:
        raise overtaken[0]
    return lines


def run_lines(settings: Settings, run: str) -> list[HourLine]:
    """Return one line for each judged hour of a run."""
    client = connect(settings)
    try:
        recounts, judged = store.read_recounts(client, run), store.read_judgements(client, run)
        answers = store.read_answers(client, run)
        plans = store.read_plans(client, run)
    finally:
        client.disconnect()
    return [
        HourLine.of(
            plan,
            recounts.get(key),
            answered(plan, judged[key], answers.get(key)),
            waits=needs_answer(plan, judged[key]) and answers.get(key) is None,
        )
        for key, plan in _keyed(plans)
    ]


def _keyed(plans: Sequence[HourPlan]) -> list[tuple[tuple[str, datetime], HourPlan]]:
    return [((plan.stream, plan.hour), plan) for plan in plans]


def read_verdicts() -> str:
    """Return the statement that lists what a run has already published."""
    return "SELECT stream, seal, verdict, reason FROM verdicts WHERE run = %(run)s"


def _certified(
    client: Client,
    contract: Contract,
    plan: HourPlan,
    recounted: Recounted,
    judgement: Judgement,
    answer: Answer | None,
) -> Judgement:
    """Certify an hour and return its verdict, which is DRIFTED if its rows do not stay what they were."""
    require_same_base(client, plan)
    if certificate_in_force(client, plan) != (plan.frontier, plan.seal):
        if _rows_changed(client, contract, plan, recounted):
            return _withdrawn(client, plan, judgement, "before it was certified, so it is not certified")
        _insert_certificate(client, contract, plan, recounted, judgement, answer)
    if _rows_changed(client, contract, plan, recounted):
        return _withdrawn(client, plan, judgement, "right after it was certified")
    return judgement


def _with_late_events(client: Client, contract: Contract, plan: HourPlan, judgement: Judgement) -> Judgement:
    """List what late events change beside a seal that stays, as amendments that cannot be proved."""
    late = unproved(client, contract, plan)
    if late is None:
        return judgement
    record(client, plan, late)
    cells = late.added + late.removed + late.changed
    said = f"its seal {late.base.seal} stays, and late events change {cells} cells, which cannot be proved"
    return replace(judgement, reason=f"{judgement.reason}; {said}")


def _rows_changed(client: Client, contract: Contract, plan: HourPlan, recounted: Recounted) -> bool:
    return compare.digest_of(client, contract, plan.hour, plan.frontier, plan.seal) != recounted.digest


def _withdrawn(client: Client, plan: HourPlan, judgement: Judgement, when: str) -> Judgement:
    """Record that an hour is not proved after all."""
    reason = (
        f"the rows of seal {plan.seal} changed {when}; {judgement.verdict} is withdrawn: {judgement.reason}"
    )
    log.error("%s %s: %s", plan.stream, f"{plan.hour:%Y-%m-%dT%H}", reason)
    withdrawn = replace(judgement, verdict=DRIFTED, reason=reason)
    store.write_judgement(client, plan, withdrawn)
    return withdrawn


def _insert_certificate(
    client: Client,
    contract: Contract,
    plan: HourPlan,
    recounted: Recounted,
    judgement: Judgement,
    answer: Answer | None,
) -> None:
    previous = amendments(client, contract, plan)
    record(client, plan, previous)
    by = f"{answer.by}, who approved it in approve_repair" if answer else REPAIRED_BY
    document = certificate_document(plan, recounted, judgement, datetime.now(UTC), previous, by)
    client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, windows, cells, events, "
        "events_as_they_came, id_reused, offsets, digest, document, certified_at) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.frontier, plan.seal, judgement.verdict),
                *(recounted.windows, recounted.cells, recounted.events, recounted.events_as_they_came),
                recounted.id_reused,
                *(plan.offsets, recounted.digest, json.dumps(document, sort_keys=True), datetime.now(UTC)),
            )
        ],
    )


def _publish_verdict(client: Client, plan: HourPlan, judgement: Judgement) -> None:
    differences = judgement.differences
    rows = [
        (
            *(plan.stream, plan.hour, plan.seal, cell.cube, cell.window_start, cell.dimensions),
            *(cell.kind, cell.expected, cell.served, cell.drift),
        )
        for cell in differences.cells
    ]
    if rows:
        client.execute(
            "INSERT INTO differences (stream, hour, seal, cube, window_start, dimensions, class, expected, served, "
            "drift) VALUES",
            rows,
        )
    client.execute(
        "INSERT INTO verdicts (stream, hour, seal, verdict, reason, missing, excess, mismatched, run, judged_at, "
        "judged_ms, drifts) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.seal, judgement.verdict, judgement.reason),
                *(
                    differences.missing,
                    differences.excess,
                    differences.mismatched,
                    plan.run,
                    datetime.now(UTC),
                    now_ms(),
                    list(judgement.drifts),
                ),
            )
        ],
    )
