"""One command proves a certificate again, on real Kafka, Spark and ClickHouse; documents and amendments beside it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from clickhouse_driver import Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from include.compact.run import compact_warehouse
from include.contracts import Contract, load_contract
from include.reconcile import prove_again
from include.reconcile.certificate import (
    certificate_path,
    export_certificates,
    read_certificate,
)
from include.reconcile.document import SCHEMA_FILE, CertificateDocument
from include.reconcile.publication import remember, unpublished
from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse
from tests.conftest import create_topic, platform_settings
from tests.leftovers import fresh_suffix
from tests.reconciling import HOUR, Stream, drop, event, hour_of_records, only

TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'View'"


@pytest.fixture(scope="module")
def settings_of_all() -> Iterator[Settings]:
    """A database and topics of their own, which the tests of this file share, since a recount takes seconds."""
    name = fresh_suffix()
    settings = platform_settings(
        control_topic=f"test-control-{name}", clickhouse_database=f"test_{name}", grace_seconds=0.0
    )
    prepare_warehouse(settings)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    create_topic(admin, NewTopic(settings.control_topic, 1, 1))
    create_topic(
        admin, NewTopic(topic_of(settings), 4, 1, config={"message.timestamp.before.max.ms": str(2**62)})
    )
    yield settings
    for future in admin.delete_topics([settings.control_topic, topic_of(settings)]).values():
        future.result(30)
    client = connect(settings)
    client.execute(f"DROP DATABASE {settings.clickhouse_database}")
    client.disconnect()


def topic_of(settings: Settings) -> str:
    return settings.control_topic.replace("control-", "") + "-ad-events"


@pytest.fixture(scope="module")
def stream(settings_of_all: Settings, spark: SparkSession) -> Iterator[Stream]:
    """An hour of 1,000 events with copies and rejects, folded in two batches."""
    contract = load_contract("ad_events")
    topic = contract.topic.model_copy(update={"name": topic_of(settings_of_all)})
    client = connect(settings_of_all)
    own = Stream(settings_of_all, client, contract.model_copy(update={"topic": topic}), spark)
    own.start()
    records = hour_of_records(random.Random(11))
    for part in (records[:500], records[500:]):
        own.send(part)
        own.fold()
    yield own
    client.disconnect()


@dataclass
class Proved:
    """A stream whose HOUR is certified, with the document of its certificate."""

    stream: Stream
    document: CertificateDocument

    @property
    def client(self) -> Client:
        return self.stream.client

    def again(self, document: CertificateDocument | None = None) -> prove_again.Outcome:
        return prove_again.prove_again(
            self.stream.settings, self.client, document or self.document, self._session, self._load
        )

    def _session(self) -> SparkSession:
        return self.stream.spark

    def _load(self, _: str) -> Contract:
        return self.stream.contract


def certify(own: Stream) -> CertificateDocument:
    """Reconcile HOUR and return its new certificate."""
    only(own.reconcile())
    return read_certificate(own.client, "ad_events", HOUR)


@pytest.fixture(scope="module")
def proved(stream: Stream) -> Proved:
    return Proved(stream, certify(stream))


def test_an_untouched_hour_is_equal_and_nothing_is_written(proved: Proved) -> None:
    tables = [row[0] for row in proved.client.execute(TABLES)]
    rows = {table: proved.client.execute(f"SELECT count() FROM {table}") for table in tables}
    outcome = proved.again()
    assert (outcome.code, outcome.findings) == (prove_again.EQUAL, ())
    assert [line.split()[0] for line in outcome.table[1:]] == [
        "windows",
        "cells",
        "events",
        "events",
        "digest",
        "id_reused,",
    ]
    digest = re.split(" {2,}", outcome.table[-2])[1:]
    assert digest == [proved.document.digest.value] * 3
    assert {table: proved.client.execute(f"SELECT count() FROM {table}") for table in tables} == rows


def test_an_altered_sealed_row_is_named(proved: Proved) -> None:
    columns = "window_start, event_type, country, ad_format, frontier, seal, event_count"
    rows = "came_event_count, revenue, came_revenue FROM ad_events_sealed"
    wanted = proved.client.execute(f"SELECT {columns}, {rows} ORDER BY window_start, {columns} LIMIT 1")[0]
    insert = "INSERT INTO ad_events_sealed VALUES"
    proved.client.execute(insert, [(*wanted[:6], wanted[6] + 1, *wanted[7:])])
    outcome = proved.again()
    proved.client.execute(insert, [wanted])
    assert outcome.code == prove_again.DIFFERENT
    cell = f"{wanted[0]:%Y-%m-%d %H:%M:%S} event_type={wanted[1]} country={wanted[2]} ad_format={wanted[3]}: "
    named = [line for line in outcome.findings if line.startswith("ad_events ")]
    assert len(named) == 1, outcome.findings
    assert named[0].startswith(f"ad_events {cell}sealed event_count={wanted[6] + 1} ")
    assert any(line.startswith("digest: the sealed rows give") for line in outcome.findings)


def test_a_document_that_claims_more_than_the_log_holds_is_refuted(proved: Proved) -> None:
    said = proved.document.model_dump(mode="json")
    said["figures"]["events"] += 1
    said["balance"][0]["late"] += 1
    outcome = proved.again(CertificateDocument.model_validate(said))
    assert outcome.code == prove_again.DIFFERENT
    assert outcome.findings[0].startswith(f"events: the raw log gives {proved.document.figures.events}")
    assert "partition 0: late" in outcome.findings[1]


def test_other_neighbours_read_than_at_the_seal_are_shown_and_no_difference(proved: Proved) -> None:
    assert proved.document.figures.id_reused == 0
    for said in (7, None):
        figures = proved.document.figures.model_copy(update={"id_reused": said})
        outcome = proved.again(proved.document.model_copy(update={"figures": figures}))
        assert (outcome.code, outcome.findings) == (prove_again.EQUAL, ())
        assert outcome.table[-1].split()[-3:] == ["-" if said is None else "7", "0", "-"]


def test_a_certificate_keeps_its_schema_as_row_and_as_file(proved: Proved, tmp_path: object) -> None:
    settings = proved.stream.settings.model_copy(update={"artifacts_dir": tmp_path})
    (path,) = export_certificates(settings, proved.client, [("ad_events", HOUR), ("logs", HOUR)])
    assert path == certificate_path(settings, "ad_events", HOUR)
    written = json.loads(path.read_text(encoding="utf-8"))
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(written)
    assert CertificateDocument.model_validate(written) == proved.document
    for evidence in written["evidence"]:
        condition = evidence["where"]
        found = proved.client.execute(f"SELECT count() FROM {evidence['table']} WHERE {condition}")[0][0]
        assert found or evidence["table"] in ("differences", "amendments"), evidence


def test_a_certificate_waits_for_its_publication_until_one_is_noted(proved: Proved, tmp_path: Path) -> None:
    settings = proved.stream.settings.model_copy(update={"artifacts_dir": tmp_path})
    (waiting,) = unpublished(settings)
    assert waiting[:2] == ("ad_events", f"{HOUR:%Y-%m-%dT%H}")
    assert certificate_path(settings, "ad_events", HOUR).is_file(), (
        "its document is written before it is published"
    )
    assert unpublished(settings) == [waiting], (
        "a run that ended before it noted anything leaves it to the next"
    )
    stream, key, frontier, seal = waiting
    remember(settings, "older", [(stream, key, frontier, seal - 1)])
    assert unpublished(settings) == [waiting], "what was noted of an earlier certificate says nothing of it"
    remember(settings, "run", [waiting])
    assert unpublished(settings) == []


def test_the_command_line_reports_and_exits_with_what_it_found(
    proved: Proved, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = proved.stream.settings
    monkeypatch.setattr(prove_again, "get_settings", lambda: settings)
    asked: list[CertificateDocument] = []
    real = prove_again.prove_again

    def proving(
        settings: Settings,
        client: Client,
        document: CertificateDocument,
        session: Callable[[], SparkSession],
    ) -> prove_again.Outcome:
        asked.append(document)
        return real(settings, client, document, session, lambda _: proved.stream.contract)

    monkeypatch.setattr(prove_again, "prove_again", proving)
    hour = f"{HOUR:%Y-%m-%dT%H}"
    assert prove_again.main(["ad_events", hour]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"ad_events {hour}  PROVED  seal {proved.document.seal}")
    assert printed[-1] == "EQUAL"
    assert prove_again.main(["ad_events", hour, "--seal", "1"]) == 2
    assert prove_again.main(["ad_events", "2020-01-01T00"]) == 2
    assert "ad_events 2020-01-01T00 has no certificate" in capsys.readouterr().out
    assert len(asked) == 1


def test_a_first_certificate_amends_nothing(proved: Proved) -> None:
    assert (proved.document.base, proved.document.amendments) == (None, None)
    assert proved.client.execute("SELECT count() FROM amendments") == [(0,)]


def late_event(own: Stream) -> None:
    late = json.dumps(event(9000, HOUR + timedelta(minutes=5), country="FR")).encode()
    own.send([(late, HOUR + timedelta(minutes=90))])
    own.fold()


def test_a_seal_after_compaction_is_proved_names_what_changed_and_the_old_one_can_be_proved_again(
    proved: Proved,
) -> None:
    own = proved.stream
    dropped = compact_warehouse(own.settings, ["ad_events"], load=lambda _: own.contract)
    assert dropped.compacted["ad_events_delta"] > 0
    late_event(own)
    document = certify(own)
    changed = document.amendments
    assert (document.verdict, document.reason) == ("PROVED", "equal at once")
    assert changed is not None
    assert (changed.base_intact, changed.added, changed.removed, changed.changed) == (True, 2, 0, 0)
    assert document.base is not None
    assert document.base.seal == proved.document.seal
    cell, arrival = changed.first
    assert (cell.change, cell.before, arrival.cube) == ("added", "", "ad_arrival")
    assert "country=FR" in cell.dimensions
    assert f"arrived={HOUR + timedelta(minutes=90):%Y-%m-%dT%H:%M:%SZ}" in arrival.dimensions
    rows = own.client.execute("SELECT change, before, after, base_seal FROM amendments FINAL")
    assert sorted(rows) == sorted(("added", "", item.after, proved.document.seal) for item in changed.first)
    compact_warehouse(own.settings, ["ad_events"], load=lambda _: own.contract)
    assert proved.again(document).code == prove_again.EQUAL
    earlier = proved.again(proved.document)
    assert earlier.code == prove_again.EQUAL, earlier.findings
    assert earlier.table[-2].startswith("digest")
    assert earlier.table[-2].split()[-1] == "-"


def test_rows_removed_from_the_seal_in_force_are_missing_not_compacted(proved: Proved) -> None:
    document = read_certificate(proved.client, "ad_events", HOUR)
    proved.client.execute("CREATE TABLE kept AS ad_events_sealed")
    proved.client.execute("INSERT INTO kept SELECT * FROM ad_events_sealed")
    drop(proved.stream, "ad_events_sealed", "1")
    outcome = proved.again(document)
    proved.client.execute("INSERT INTO ad_events_sealed SELECT * FROM kept")
    proved.client.execute("DROP TABLE kept")
    assert outcome.code == prove_again.DIFFERENT
    assert "digest: the sealed rows give ad_arrival=" in "\n".join(outcome.findings)


def test_records_that_are_gone_leave_it_unknown(proved: Proved) -> None:
    admin = AdminClient({"bootstrap.servers": proved.stream.settings.kafka_bootstrap_servers})
    first = TopicPartition(proved.stream.contract.topic.name, 1, 50)
    admin.delete_records([first])[first].result(30)
    outcome = proved.again()
    assert outcome.code == prove_again.UNKNOWN
    assert outcome.findings == ("partition 1: raw records from offset 0 are gone, the log starts at 50",)
