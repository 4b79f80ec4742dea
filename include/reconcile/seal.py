"""Certifies the hours of a run: one grace period, then one insert an hour, which switches readers over."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import compare, store
from include.reconcile.amend import amendments, record
from include.reconcile.certificate import certificate_document, export_certificates
from include.reconcile.judging import certificate_in_force, require_same_base
from include.reconcile.report import HourLine
from include.reconcile.types import (
    CERTIFYING,
    DRIFTED,
    CertificateChangedError,
    HourPlan,
    Judgement,
    Recounted,
)
from include.settings import Settings
from include.warehouse.client import connect

log = logging.getLogger(__name__)


def seal_run(settings: Settings, run: str, load: Callable[[str], Contract] = load_contract) -> list[HourLine]:
    """Insert the certificates, verdicts and differences of a run; return one line an hour.

    Running it again certifies what is left and doubles nothing. An hour whose rows are not those that were read
    back, before its certificate or right after, becomes DRIFTED. No certificate is taken back, since readers may
    have used it; its digest no longer fits its rows, so the next run takes the hour up whatever else happens.

    Raises:
        CertificateChangedError: another run certified an hour meanwhile; all other hours are certified.
    """
    client = connect(settings)
    try:
        plans = store.read_plans(client, run)
        recounts = store.read_recounts(client, run)
        judgements = store.read_judgements(client, run)
        if any(judgement.verdict in CERTIFYING for judgement in judgements.values()):
            log.info("waiting %s s for queries that began before the sealed rows", settings.grace_seconds)
            time.sleep(settings.grace_seconds)
        done = {tuple(row) for row in client.execute(read_verdicts(), {"run": run})}
        lines = []
        certified: list[tuple[str, datetime]] = []
        overtaken: list[CertificateChangedError] = []
        for plan in plans:
            key = (plan.stream, plan.hour)
            judgement, recounted = judgements[key], recounts.get(key)
            try:
                if judgement.verdict in CERTIFYING and recounted is not None:
                    judgement = _certified(client, load(plan.stream), plan, recounted, judgement)
            except CertificateChangedError as error:
                overtaken.append(error)
                continue
            if judgement.verdict in CERTIFYING:
                certified.append(key)
            if (plan.stream, plan.seal) not in done:
                _publish_verdict(client, plan, judgement)
            lines.append(HourLine.of(plan, recounted, judgement))
        export_certificates(settings, client, certified)
    finally:
        client.disconnect()
    if overtaken:
        raise overtaken[0]
    return lines


def run_lines(settings: Settings, run: str) -> list[HourLine]:
    """Return one line for each judged hour of a run."""
    client = connect(settings)
    try:
        recounts, judgements = store.read_recounts(client, run), store.read_judgements(client, run)
        plans = store.read_plans(client, run)
    finally:
        client.disconnect()
    keys = [(plan.stream, plan.hour) for plan in plans]
    return [
        HourLine.of(plan, recounts.get(key), judgements[key]) for plan, key in zip(plans, keys, strict=True)
    ]


def read_verdicts() -> str:
    """Return the statement that lists what a run has already published."""
    return "SELECT stream, seal FROM verdicts WHERE run = %(run)s"


def _certified(
    client: Client, contract: Contract, plan: HourPlan, recounted: Recounted, judgement: Judgement
) -> Judgement:
    """Certify an hour and return its verdict, which is DRIFTED if its rows do not stay what they were."""
    require_same_base(client, plan)
    if certificate_in_force(client, plan) != (plan.frontier, plan.seal):
        if _rows_changed(client, contract, plan, recounted):
            return _withdrawn(client, plan, judgement, "before it was certified, so it is not certified")
        _insert_certificate(client, contract, plan, recounted, judgement)
    if _rows_changed(client, contract, plan, recounted):
        return _withdrawn(client, plan, judgement, "right after it was certified")
    return judgement


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
    client: Client, contract: Contract, plan: HourPlan, recounted: Recounted, judgement: Judgement
) -> None:
    previous = amendments(client, contract, plan)
    record(client, plan, previous)
    document = certificate_document(plan, recounted, judgement, datetime.now(UTC), previous)
    client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, windows, cells, events, "
        "events_as_they_came, offsets, digest, document, certified_at) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.frontier, plan.seal, judgement.verdict),
                *(recounted.windows, recounted.cells, recounted.events, recounted.events_as_they_came),
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
        "drifts) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.seal, judgement.verdict, judgement.reason),
                *(
                    differences.missing,
                    differences.excess,
                    differences.mismatched,
                    plan.run,
                    datetime.now(UTC),
                    list(judgement.drifts),
                ),
            )
        ],
    )
