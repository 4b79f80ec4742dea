"""Certificates as documents: makes them from what a run found, reads them, and keeps them as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from clickhouse_driver import Client

from include.reconcile.amend import Amendments
from include.reconcile.code_version import code_version
from include.reconcile.document import (
    AmendedCell,
    AmendmentList,
    Balance,
    Base,
    CertificateDocument,
    DifferenceList,
    DifferingCell,
    Digest,
    Evidence,
    Figures,
    OffsetSpan,
    ReplayedRecord,
    RunAgain,
)
from include.reconcile.store import text
from include.reconcile.types import (
    PROVED,
    Differences,
    HourPlan,
    Judgement,
    PartitionBalance,
    ReconcileError,
    Recounted,
    Segment,
    as_utc,
    from_epoch,
)
from include.settings import Settings
from include.warehouse.sql import read_sql

MOST_NAMED = 100
REPAIRED_BY = "reconcile_hour"
FOLDER = "certificates"


class NoCertificateError(ReconcileError):
    """An hour has no certificate, or not the one that was asked for."""


def certificate_document(
    plan: HourPlan,
    recounted: Recounted,
    judgement: Judgement,
    certified: datetime,
    previous: Amendments | None = None,
    repaired_by: str = REPAIRED_BY,
) -> dict[str, Any]:
    """Return the certificate as it is kept. previous: what it changes against the certificate before it."""
    document = CertificateDocument(
        stream=plan.stream,
        hour=plan.hour,
        verdict=judgement.verdict,
        reason=judgement.reason,
        repaired_by=None if judgement.verdict == PROVED else repaired_by,
        certified_at=certified.replace(microsecond=0),
        run=plan.run,
        contract_version=plan.contract_version,
        code_version=code_version(),
        generation=plan.generation,
        frontier=plan.frontier,
        seal=plan.seal,
        base=Base(**asdict(plan.base)) if plan.base else None,
        offset_ranges=[_span(segment) for segment in plan.segments],
        balance=[certified_balance(item) for item in recounted.balances],
        figures=Figures(
            windows=recounted.windows,
            cells=recounted.cells,
            events=recounted.events,
            events_as_they_came=recounted.events_as_they_came,
            events_without_identity=recounted.events_without_identity,
            id_reused=recounted.id_reused,
        ),
        digest=Digest(value=recounted.digest),
        drifts=list(judgement.drifts),
        differences=_differences(judgement.differences),
        amendments=_amendments(previous) if previous else None,
        evidence=_evidence(plan, recounted),
        run_again=_run_again(plan),
    )
    return document.model_dump(mode="json")


def certified_balance(item: PartitionBalance) -> Balance:
    """Return a balance as a certificate has it, in which each record was judged once: else there is no certificate."""
    figures = asdict(item)
    del figures["each_once"]
    return Balance(**figures, rejected=item.rejected)


def _span(segment: Segment) -> OffsetSpan:
    replayed = [
        ReplayedRecord(**{**asdict(item), "hour": from_epoch(item.hour)}) for item in segment.replayed
    ]
    return OffsetSpan(**asdict(segment.range), contract_version=segment.contract_version, replayed=replayed)


def _differences(found: Differences) -> DifferenceList:
    return DifferenceList(
        missing=found.missing,
        excess=found.excess,
        mismatched=found.mismatched,
        first=[DifferingCell(**asdict(cell)) for cell in found.cells[:MOST_NAMED]],
    )


def _amendments(found: Amendments) -> AmendmentList:
    return AmendmentList(
        base_intact=found.base_intact,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        first=[AmendedCell(**asdict(item)) for item in found.first],
    )


def _evidence(plan: HourPlan, recounted: Recounted) -> list[Evidence]:
    hour = f"stream = '{plan.stream}' AND hour = '{text(plan.hour)}'"
    own = f"frontier = {plan.frontier} AND seal = {plan.seal}"
    cubes = [part.partition("=")[0] for part in recounted.digest.split()]
    return [
        Evidence(table="certificates", where=f"{hour} AND {own}"),
        *(
            Evidence(
                table=f"{cube}_sealed", where=f"toStartOfHour(window_start) = '{text(plan.hour)}' AND {own}"
            )
            for cube in cubes
        ),
        *(
            Evidence(table=table, where=f"{hour} AND seal = {plan.seal}")
            for table in ("balances", "verdicts", "differences", "amendments")
        ),
        Evidence(table="reconciliations", where=f"run = '{plan.run}' AND {hour}"),
        Evidence(table="ledger", where=f"stream = '{plan.stream}' AND batch <= {plan.frontier}"),
    ]


def _run_again(plan: HourPlan) -> RunAgain:
    hour = f"{plan.hour:%Y-%m-%dT%H:%M:%SZ}"
    return RunAgain(
        command=f"make verify STREAM={plan.stream} HOUR={plan.hour:%Y-%m-%dT%H} SEAL={plan.seal}",
        dag="reconcile_hour",
        conf={"streams": [plan.stream], "from_hour": hour, "to_hour": hour, "repair": "never"},
    )


def read_certificate(
    client: Client, stream: str, hour: datetime, seal: int | None = None
) -> CertificateDocument:
    """Return the document of an hour's certificate: of a given seal, or else the one in force.

    Raises:
        NoCertificateError: there is none.
        pydantic.ValidationError: it is of another schema.
    """
    rows = client.execute(
        read_sql("reconcile/certificate_documents.sql"), {"stream": stream, "hour": text(hour)}
    )
    found = [document for number, document in rows if seal in (None, number)]
    if not found:
        which = "certificate" if seal is None else f"certificate of seal {seal}"
        raise NoCertificateError(f"{stream} {hour:%Y-%m-%dT%H} has no {which}")
    return CertificateDocument.model_validate_json(found[0])


def certificate_path(settings: Settings, stream: str, hour: datetime) -> Path:
    """Return the file of the certificate in force of an hour."""
    return settings.artifacts_dir / FOLDER / stream / f"{as_utc(hour):%Y-%m-%dT%H}.json"


def export_certificates(
    settings: Settings, client: Client, hours: Iterable[tuple[str, datetime]]
) -> list[Path]:
    """Write the certificate in force of each (stream, hour) as a file; hours without one are left out.

    A file is replaced as a whole, so a reader never sees a half; writing it again changes nothing.
    """
    written = []
    for stream, hour in hours:
        try:
            document = read_certificate(client, stream, hour)
        except NoCertificateError:
            continue
        path = certificate_path(settings, stream, hour)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}.tmp")
        half.write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
        half.replace(path)
        written.append(path)
    return written
