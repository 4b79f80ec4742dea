"""Certificates as documents: made from what a run found, in step with the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from include.reconcile import code_version as versions
from include.reconcile.amend import Amendment, Amendments
from include.reconcile.certificate import certificate_document
from include.reconcile.document import SCHEMA_FILE, CertificateDocument, json_schema
from include.reconcile.types import (
    DRIFTED,
    REPAIRED,
    Certificate,
    Difference,
    Differences,
    HourPlan,
    Judgement,
    OffsetRange,
    PartitionBalance,
    Recounted,
    Segment,
)

HOUR = datetime(2026, 1, 1, 5, tzinfo=UTC)
BASE = Certificate((1 << 40) | 3, 7, "ad_events=1-2-3")
SEGMENT = Segment(OffsetRange(0, 10, 40), 30, 0, 1, 0, {})
PLAN = HourPlan("run-1", "ad_events", HOUR, 11, 1, (1 << 40) | 9, BASE, 1, "auto", (SEGMENT,))
BALANCE = PartitionBalance(0, ((10, 40),), 30, 27, 1, {"schema": 2}, 0, 0, 1, 4)
RECOUNTED = Recounted(5, 9, 23, 27, "ad_events=9-8-7", (BALANCE,), id_reused=6)
LOST = Difference("ad_events", HOUR, "country=US", "missing", "event_count=3", "")
FOUND = Judgement(REPAIRED, "served figures differ", Differences(missing=300, cells=(LOST,) * 200))
CHANGED = Amendments(
    BASE, True, 1, 0, 0, (Amendment("ad_events", HOUR, "country=FR", "added", "", "event_count=1"),)
)
NOW = datetime(2026, 1, 1, 7, 2, 3, 999, tzinfo=UTC)


def made() -> dict[str, object]:
    return certificate_document(PLAN, RECOUNTED, FOUND, NOW, CHANGED)


def test_the_published_schema_is_that_of_the_model() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema(), (
        "run: python -m include.reconcile.document"
    )


def test_a_document_fits_the_schema_and_survives_json() -> None:
    document = made()
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(document)
    again = CertificateDocument.model_validate_json(json.dumps(document))
    assert again.model_dump(mode="json") == document


def test_it_says_what_was_read_found_repaired_and_changed() -> None:
    found = CertificateDocument.model_validate(made())
    assert (found.hour, found.certified_at) == (HOUR, NOW.replace(microsecond=0))
    assert (found.verdict, found.repaired_by, found.contract_version) == ("REPAIRED", "reconcile_hour", 1)
    assert [(item.partition, item.start, item.end) for item in found.offset_ranges] == [(0, 10, 40)]
    assert found.figures.id_reused == 6
    (balance,) = found.balance
    assert balance.offsets == balance.this_hour + balance.other_hours + balance.rejected + balance.non_records
    assert (found.differences.missing, len(found.differences.first)) == (300, 100)
    assert found.amendments is not None
    assert [item.dimensions for item in found.amendments.first] == ["country=FR"]
    assert {item.table for item in found.evidence} >= {
        "certificates",
        "ad_events_sealed",
        "balances",
        "ledger",
    }
    assert found.run_again.command.endswith("STREAM=ad_events HOUR=2026-01-01T05 SEAL=11")


def test_a_hour_that_was_equal_at_once_was_repaired_by_nobody() -> None:
    document = certificate_document(
        replace(PLAN, base=None), RECOUNTED, Judgement("PROVED", "equal at once"), NOW
    )
    assert (document["repaired_by"], document["base"], document["amendments"]) == (None, None, None)


def test_identities_of_other_hours_change_nothing_but_their_own_figure() -> None:
    none, some = (
        certificate_document(PLAN, replace(RECOUNTED, id_reused=count), FOUND, NOW, CHANGED)
        for count in (0, 6)
    )
    assert some == {**none, "figures": {**none["figures"], "id_reused": 6}}
    old = CertificateDocument.model_validate({**none, "figures": {**none["figures"], "id_reused": None}})
    assert old.figures.id_reused is None


def test_only_what_is_verified_gets_a_certificate() -> None:
    with pytest.raises(ValidationError, match="verdict"):
        certificate_document(PLAN, RECOUNTED, replace(FOUND, verdict=DRIFTED), NOW)


def test_the_code_is_named_by_commit_or_else_by_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    versions.code_version.cache_clear()
    monkeypatch.setattr(versions, "PROJECT_ROOT", tmp_path)
    assert versions.code_version() in (
        versions.UNKNOWN,
        f"proved-aggregates {versions._package_version().split()[-1]}",
    )
    versions.code_version.cache_clear()
