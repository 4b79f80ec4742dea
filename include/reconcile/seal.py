"""Certifies the hours of a run: one grace period, then one insert an hour, which switches readers over."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.reconcile import compare, store
from include.reconcile.judging import require_same_base
from include.reconcile.report import HourLine
from include.reconcile.types import (
    CERTIFYING,
    Differences,
    HourPlan,
    Judgement,
    ReconcileError,
    Recounted,
    epoch,
)
from include.settings import Settings
from include.warehouse.client import connect

log = logging.getLogger(__name__)


def seal_run(settings: Settings, run: str) -> list[HourLine]:
    """Insert the certificates, verdicts and differences of a run; return one line an hour.

    Running it again certifies what is left and doubles nothing.

    Raises:
        CertificateChangedError: another run certified an hour meanwhile; hours before it are certified.
        ReconcileError: sealed rows are no longer what was read back.
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
        for plan in plans:
            key = (plan.stream, plan.hour)
            judgement, recounted = judgements[key], recounts.get(key)
            if judgement.verdict in CERTIFYING and recounted is not None:
                _certify(client, load_contract(plan.stream), plan, recounted, judgement)
            if (plan.stream, plan.seal) not in done:
                _publish_verdict(client, plan, judgement)
            lines.append(HourLine.of(plan, recounted, judgement))
    finally:
        client.disconnect()
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


def _certify(
    client: Client, contract: Contract, plan: HourPlan, recounted: Recounted, judgement: Judgement
) -> None:
    digest = compare.digest_of(client, contract, plan.hour, plan.frontier, plan.seal)
    if digest != recounted.digest:
        raise ReconcileError(
            f"{plan.stream} {plan.hour:%Y-%m-%dT%H}: the rows of seal {plan.seal} changed after they were read back; "
            "trigger reconcile_hour again for this hour"
        )
    require_same_base(client, plan)
    document = certificate_document(plan, recounted, judgement, datetime.now(UTC))
    client.execute(
        "INSERT INTO certificates (stream, hour, frontier, seal, verdict, windows, cells, events, "
        "events_as_they_came, offsets, digest, document, certified_at) VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.frontier, plan.seal, judgement.verdict),
                *(recounted.windows, recounted.cells, recounted.events, recounted.events_as_they_came),
                *(plan.offsets, digest, json.dumps(document, sort_keys=True), datetime.now(UTC)),
            )
        ],
    )


def certificate_document(
    plan: HourPlan, recounted: Recounted, judgement: Judgement, certified: datetime
) -> dict[str, object]:
    """Return the certificate as it is kept: all that is needed to run the proof again."""
    differences = judgement.differences
    return {
        "stream": plan.stream,
        "hour": f"{plan.hour:%Y-%m-%dT%H:%M:%SZ}",
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "repaired_by": "reconcile_hour" if judgement.verdict != "PROVED" else None,
        "certified_at": f"{certified:%Y-%m-%dT%H:%M:%SZ}",
        "run": plan.run,
        "contract_version": plan.contract_version,
        "generation": plan.generation,
        "frontier": plan.frontier,
        "seal": plan.seal,
        "base": asdict(plan.base) if plan.base else None,
        "windows": recounted.windows,
        "cells": recounted.cells,
        "events": recounted.events,
        "events_as_they_came": recounted.events_as_they_came,
        "digest": recounted.digest,
        "balance": [{**asdict(item), "rejected": item.rejected} for item in recounted.balances],
        "differences": _counts(differences),
        "run_again": {
            "dag": "reconcile_hour",
            "conf": {
                "streams": [plan.stream],
                "from_hour": f"{plan.hour:%Y-%m-%dT%H:%M:%SZ}",
                "to_hour": f"{plan.hour:%Y-%m-%dT%H:%M:%SZ}",
                "repair": "never",
            },
            "offset_ranges": [asdict(segment.range) for segment in plan.segments],
            "epoch_hour": epoch(plan.hour),
        },
    }


def _counts(differences: Differences) -> dict[str, int]:
    return {name: getattr(differences, name) for name in ("missing", "excess", "mismatched")}


def _publish_verdict(client: Client, plan: HourPlan, judgement: Judgement) -> None:
    differences = judgement.differences
    rows = [
        (
            *(plan.stream, plan.hour, plan.seal, cell.cube, cell.window_start, cell.dimensions),
            *(cell.kind, cell.expected, cell.served),
        )
        for cell in differences.cells
    ]
    if rows:
        client.execute("INSERT INTO differences VALUES", rows)
    client.execute(
        "INSERT INTO verdicts VALUES",
        [
            (
                *(plan.stream, plan.hour, plan.seal, judgement.verdict, judgement.reason),
                *(
                    differences.missing,
                    differences.excess,
                    differences.mismatched,
                    plan.run,
                    datetime.now(UTC),
                ),
            )
        ],
    )
