"""The schema of a certificate as a JSON document: stable, versioned, self-contained.

docs/certificate.schema.json is this model as JSON Schema; `python -m include.reconcile.document` writes it.
A change that a reader of the old schema would not survive raises schema_version.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from include.settings import PROJECT_ROOT

SCHEMA_FILE = PROJECT_ROOT / "docs" / "certificate.schema.json"
DIGEST_METHOD = (
    "per cube: row count, sum modulo 2^64 and exclusive or of sipHash64 over each sealed row's text, which is its window "
    "start in epoch seconds, length and text of each dimension, then each measure once and as it came, "
    "as sql/reconcile/digest.sql.j2 writes them"
)
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReplayedRecord(_Part):
    """A dead letter that a later batch folded, under that batch's contract version, as an event of `hour`."""

    offset: Count
    hour: AwareDatetime
    batch: Count
    contract_version: Count


class OffsetSpan(_Part):
    """Offsets [start, end) of one Kafka partition that the recount read.

    contract_version is that under which their records were judged, 0 for the certificate's.
    """

    partition: Count
    start: Count
    end: Count
    contract_version: Count = 0
    replayed: list[ReplayedRecord] = []


class Base(_Part):
    """The certificate that was in force before."""

    frontier: Count
    seal: Count
    digest: str


class Balance(_Part):
    """What became of each offset that was read: offsets = this_hour + other_hours + rejected + non_records.

    A rejected record that was replayed is an event of this or another hour and not among rejected.

    non_records is the recount's own count, made before it judges any record, ledger_non_records the streaming job's. late
    and duplicates are among this_hour; duplicates are copies of an identity beyond the first.
    """

    partition: Count
    ranges: list[tuple[Count, Count]]
    offsets: Count
    this_hour: Count
    other_hours: Count
    rejected: Count
    rejected_by_reason: dict[str, Count]
    non_records: Count
    ledger_non_records: Count
    late: Count
    duplicates: Count


class Figures(_Part):
    """Sizes of the hour. events counts each identity once, and every copy of an event that has no identity.

    events_without_identity is how many of those there are. id_reused is how many of the hour's identities the recount
    also read as an event of another hour: what its ranges show, a report and no part of the proof. Both are null in
    certificates of before they were counted.
    """

    windows: Count
    cells: Count
    events: Count
    events_as_they_came: Count
    events_without_identity: Count | None = None
    id_reused: Count | None = None


class Digest(_Part):
    """Digest of the sealed rows, and how it is computed; empty for an hour without events."""

    value: str
    method: str = DIGEST_METHOD


class DifferingCell(_Part):
    """A cell where served figures were not the recount's; figures are "measure=integer …" at the contract's scale."""

    cube: str
    window_start: AwareDatetime
    dimensions: str
    kind: Literal["missing", "excess", "mismatched"]
    expected: str
    served: str
    drift: str = ""


class DifferenceList(_Part):
    """How many cells differed before the repair, and the first of them."""

    missing: Count
    excess: Count
    mismatched: Count
    first: list[DifferingCell]


class AmendedCell(_Part):
    """A cell whose exact figures the certificate before had otherwise."""

    cube: str
    window_start: AwareDatetime
    dimensions: str
    change: Literal["added", "removed", "changed"]
    before: str
    after: str


class AmendmentList(_Part):
    """What this certificate changed against its base; base_intact: whether the base's rows were still its own."""

    base_intact: bool
    added: Count
    removed: Count
    changed: Count
    first: list[AmendedCell]


class Evidence(_Part):
    """Where the rows are: a table, and the condition that names them."""

    table: str
    where: str


class RunAgain(_Part):
    """How to run the proof again: one command, and the DAG with its form for a new judgement."""

    command: str
    dag: str
    conf: dict[str, str | list[str]]


class CertificateDocument(_Part):
    """The proof of one hour of one stream. base and amendments are null for an hour's first certificate."""

    schema_version: Literal[1] = 1
    stream: str
    hour: AwareDatetime
    verdict: Literal["PROVED", "REPAIRED"]
    reason: str
    repaired_by: str | None
    certified_at: AwareDatetime
    run: str
    contract_version: Count
    code_version: str
    generation: Count
    frontier: Count
    seal: Count
    base: Base | None
    offset_ranges: list[OffsetSpan]
    balance: list[Balance]
    figures: Figures
    digest: Digest
    drifts: list[str]
    differences: DifferenceList
    amendments: AmendmentList | None
    evidence: list[Evidence]
    run_again: RunAgain


def json_schema() -> str:
    """Return the JSON Schema of a certificate, as docs/certificate.schema.json has it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CertificateDocument.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema(), encoding="utf-8")
