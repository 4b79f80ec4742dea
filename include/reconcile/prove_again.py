"""Proves one certificate again: reads its offset ranges anew and holds the raw log against document and sealed rows.

    make verify STREAM=ad_events HOUR=2026-01-01T05
    python -m include.reconcile.prove_again ad_events 2026-01-01T05
    python -m include.reconcile.prove_again .local/artifacts/certificates/ad_events/2026-01-01T05.json

Ends with 0 when all is equal, 1 when something differs, 2 when it cannot be known. It writes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError
from pydantic import ValidationError
from pyspark.sql import SparkSession

from include.contracts import Contract, load_contract
from include.contracts.load import ContractError
from include.forms import field_hour
from include.logs import configure_logging
from include.reconcile import store
from include.reconcile.again import Again, recounted_again, sealed_now
from include.reconcile.certificate import NoCertificateError, read_certificate
from include.reconcile.document import CertificateDocument
from include.reconcile.types import as_utc
from include.settings import Settings, get_settings
from include.spark.submission import MissingJarsError, connector_jars
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import Offsets, TopicMissingError
from include.topics.policy import is_compacted
from include.warehouse.client import connect
from include.warehouse.contract_versions import UnknownContractVersionError, read_version

EQUAL, DIFFERENT, UNKNOWN = 0, 1, 2
MOST_NAMED = 20
Row = tuple[
    str, int | str | None, int | str, int | str | None
]  # figure, certificate, raw log, sealed rows if it is there
UNANSWERED = (
    *(BrokerUnreachableError, TopicMissingError, UnknownContractVersionError, NoCertificateError),
    *(ClickHouseError, ContractError, MissingJarsError, ValidationError, OSError),
)


@dataclass(frozen=True)
class Outcome:
    """What came of it: EQUAL, DIFFERENT or UNKNOWN, the report's lines, and one line a difference or reason."""

    code: int
    table: tuple[str, ...]
    findings: tuple[str, ...]


def prove_again(
    settings: Settings,
    client: Client,
    document: CertificateDocument,
    spark: Callable[[], SparkSession],
    load: Callable[[str], Contract] = load_contract,
) -> Outcome:
    """Recount a certificate's offset ranges and compare; `spark` is called only if there is something to read.

    Raises:
        UnknownContractVersionError: the certificate's contract version is not kept.
        BrokerUnreachableError, TopicMissingError, clickhouse_driver.errors.Error: a service does not answer.
    """
    current = load(document.stream)
    contract = read_version(client, current, document.contract_version)
    contract = contract.model_copy(update={"topic": current.topic})
    gone = _gone(settings, contract, document)
    if gone:
        return Outcome(UNKNOWN, (), tuple(gone))
    try:
        again = recounted_again(spark, settings, client, contract, document)
    except Exception:
        gone = _gone(settings, contract, document)
        if not gone:
            raise
        return Outcome(UNKNOWN, (), tuple(gone))
    lost = [item for item in again.balance if item.non_records > _non_records(document, item.partition)]
    if lost and is_compacted(settings, contract.topic.name):
        reasons = [
            f"partition {item.partition}: the topic is compacted and records are gone" for item in lost
        ]
        return Outcome(UNKNOWN, (), tuple(reasons))
    return _compare(client, contract, document, again)


def _gone(settings: Settings, contract: Contract, document: CertificateDocument) -> list[str]:
    offsets = Offsets(settings, contract.topic.name)
    first, end = offsets.starts(), offsets.ends()
    reasons = []
    for item in document.offset_ranges:
        if first.get(item.partition, item.end) > item.start:
            reasons.append(
                f"partition {item.partition}: raw records from offset {item.start} are gone, the log starts at "
                f"{first.get(item.partition, 'no such partition')}"
            )
        elif end[item.partition] < item.end:
            reasons.append(
                f"partition {item.partition}: the log ends at {end[item.partition]}, before offset {item.end}: "
                "the topic was recreated"
            )
    return reasons


def _non_records(document: CertificateDocument, partition: int) -> int:
    return sum(item.non_records for item in document.balance if item.partition == partition)


def _compare(client: Client, contract: Contract, document: CertificateDocument, again: Again) -> Outcome:
    said = document.figures
    sealed = sealed_now(client, contract, document)
    force = store.certificates(client, document.stream, document.hour).get(as_utc(document.hour))
    superseded = force is not None and (force.frontier, force.seal) > (document.frontier, document.seal)
    compacted = superseded and not sealed.cells and bool(said.cells)
    rows: list[Row] = [
        ("windows", said.windows, again.windows, None if compacted else sealed.windows),
        ("cells", said.cells, len(again.cells), None if compacted else len(sealed.cells)),
        ("events", said.events, again.events, None),
        ("events as they came", said.events_as_they_came, again.events_as_they_came, None),
        ("digest", document.digest.value, again.digest, None if compacted else sealed.digest),
    ]
    reported: Row = ("id_reused, not compared", said.id_reused, again.id_reused, None)
    findings = [
        f"{name}: {what} {found or 'nothing'}, the certificate says {wanted or 'nothing'}"
        for name, wanted, raw, rows_now in rows
        for what, found in (("the raw log gives", raw), ("the sealed rows give", rows_now))
        if found is not None and found != wanted
    ]
    findings += _balances(document, again)
    findings += [f"partition {item}: not each record that was read was judged once" for item in again.torn]
    if not compacted:
        findings += sealed.differences(again, MOST_NAMED)
    return Outcome(DIFFERENT if findings else EQUAL, tuple(_table([*rows, reported])), tuple(findings))


def _balances(document: CertificateDocument, again: Again) -> list[str]:
    """The recount's own counts, partition by partition; ledger_non_records is the streaming job's."""
    said = {
        item.partition: item.model_dump(exclude={"ledger_non_records", "ranges"}) for item in document.balance
    }
    found = {
        item.partition: item.model_dump(exclude={"ledger_non_records", "ranges"}) for item in again.balance
    }
    return [
        f"partition {partition}: {name} {found.get(partition, {}).get(name)} in the raw log, the certificate says "
        f"{said.get(partition, {}).get(name)}"
        for partition in sorted(said.keys() | found.keys())
        for name in said.get(partition, found.get(partition, {}))
        if said.get(partition, {}).get(name) != found.get(partition, {}).get(name)
    ]


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [("", "certificate", "raw log", "sealed rows")]
    cells += [(row[0], *("-" if cell is None else str(cell) for cell in row[1:])) for row in rows]  # type: ignore[misc]
    widths = [max(len(row[at]) for row in cells) for at in range(4)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def local_spark(settings: Settings, cluster: bool) -> SparkSession:
    """Return a session on this machine, or on the cluster that the settings name."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return (
        SparkSession.builder.master(settings.spark_master if cluster else "local[2]")
        .appName("prove-again")
        .config("spark.jars", connector_jars(settings))
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "4")
        .getOrCreate()
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prove_again", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("what", help="a stream, or the file of a certificate")
    parser.add_argument("hour", nargs="?", help="YYYY-MM-DDTHH, UTC; not with a file")
    parser.add_argument("--seal", type=int, help="the certificate of this seal; default: the one in force")
    parser.add_argument(
        "--cluster", action="store_true", help="read with the Spark cluster instead of this machine"
    )
    found = parser.parse_args(arguments)
    if (found.hour is None) != found.what.endswith(".json"):
        parser.error("name a stream and an hour, or one .json file")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove what the command line names again, print one report, and return the exit code."""
    asked = _arguments(arguments)
    configure_logging()
    try:
        settings = get_settings()
        client = connect(settings)
        if asked.hour is None:
            document = CertificateDocument.model_validate_json(Path(asked.what).read_text(encoding="utf-8"))
        else:
            document = read_certificate(client, asked.what, field_hour("hour", asked.hour), asked.seal)
        outcome = prove_again(settings, client, document, lambda: local_spark(settings, asked.cluster))
    except (*UNANSWERED, ValueError) as error:
        print(f"CANNOT BE KNOWN  {type(error).__name__}: {str(error).splitlines()[0]}")
        return UNKNOWN
    print(
        f"{document.stream} {document.hour:%Y-%m-%dT%H}  {document.verdict}  seal {document.seal}, "
        f"certified {document.certified_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{sum(item.end - item.start for item in document.offset_ranges):,} offsets"
    )
    for line in (*outcome.table, *outcome.findings):
        print(f"  {line}")
    print({EQUAL: "EQUAL", DIFFERENT: "DIFFERENT", UNKNOWN: "CANNOT BE KNOWN"}[outcome.code])
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
