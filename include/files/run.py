"""One run of publish_files: choose, look, send, each file in a transaction of its own.

A file that was refused costs its neighbours nothing. Running it again sends what was not sent.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from clickhouse_driver import Client

from include.clock import now_ms
from include.contracts import Contract, load_contract
from include.files.content import Content, FileError
from include.files.form import Form
from include.files.inbox import choose
from include.files.ledger import write_published, write_started
from include.files.markers import Marker, MarkerLog
from include.files.plan import Planner, ToSend, already
from include.files.refusals import too_slow
from include.files.report import PUBLISHED, REFUSED, WOULD_PUBLISH, FileOutcome, Report
from include.files.survey import RECORD_OVERHEAD, LineJudge, longest_line, require_same
from include.files.transaction import TRANSACTION_SECONDS, TooLongError, Transaction
from include.forms import FormError
from include.settings import Settings
from include.topics.offsets import Offsets
from include.traffic import UnknownGeneratorError, generator_for
from include.warehouse.client import connect

# Kafka ends what a dead run left open within its time-out and the 10 s between two looks.
OPEN_SECONDS = TRANSACTION_SECONDS + 30.0

log = logging.getLogger(__name__)


def publish_files(settings: Settings, form: Form, run: str, contract: Contract | None = None) -> Report:
    """Publish what a form asks for and was never published; `contract` takes the place of the stream's own.

    Raises:
        ContractError, InboxError, FormError: nothing was sent.
        BrokerUnreachableError, TopicMissingError: nothing was sent.
        MarkersError, TransactionError: trigger again; what was sent already is not sent twice.
        clickhouse_driver.errors.Error: likewise.
    """
    contract = contract or load_contract(form.stream)
    choice = choose(settings.inbox, form.stream, form.pattern)
    judge = LineJudge(contract, form.timestamps, key_field(form.stream))
    client = connect(settings)
    try:
        with MarkerLog(settings) as markers:
            markers.read(OPEN_SECONDS)
            planned = Planner(client, contract, form, judge, markers.of_stream(form.stream)).plan(
                choice.files
            )
            slow = too_slow(
                sum(step.found.records for step in planned if isinstance(step, ToSend)), form.rate
            )
            if slow:
                raise FormError(slow)
            publisher = _Publisher(settings, client, contract, form, run, judge, markers)
            files = [step if isinstance(step, FileOutcome) else publisher.publish(step) for step in planned]
    finally:
        client.disconnect()
    return Report(form.stream, str(choice.folder), form.pattern, form.dry_run, tuple(files), choice.left)


def key_field(stream: str) -> str | None:
    """Return the field that is the Kafka key of a stream, as its generator names it; None for records without."""
    try:
        return getattr(generator_for(stream), "KEY_FIELD", None)
    except UnknownGeneratorError:
        return None


class _Publisher:
    """Sends the files of one run."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        contract: Contract,
        form: Form,
        run: str,
        judge: LineJudge,
        markers: MarkerLog,
    ) -> None:
        self._settings, self._client, self._contract, self._form = settings, client, contract, form
        self._run, self._judge, self._markers = run, judge, markers
        self._topic, self._longest = contract.topic.name, longest_line(contract)
        self._partitions = len(Offsets(settings, self._topic).partitions())
        self._due = 0.0

    def publish(self, step: ToSend) -> FileOutcome:
        """Send a file, unless another run has done so meanwhile."""
        if self._form.dry_run:
            return step.outcome(WOULD_PUBLISH)
        self._pace(step.found.records)
        try:
            return self._send(step)
        except FileError as error:
            return replace(step.outcome(REFUSED), note=error.reason)
        except TooLongError as error:
            return replace(step.outcome(REFUSED), note=str(error))

    def _send(self, step: ToSend) -> FileOutcome:
        found, stream = step.found, self._form.stream
        digest, started_ms = found.identity.digest, now_ms()
        transactional_id = f"{self._settings.files_topic}-{stream}-{digest}"
        most = self._longest + RECORD_OVERHEAD
        with Transaction(self._settings, self._topic, transactional_id, most) as transaction:
            self._markers.read(OPEN_SECONDS)
            marker = self._markers.of_stream(stream).get(digest)
            if marker is not None:
                write_published(self._client, marker, marker.published_ms)
                return already(found.name, marker)
            write_started(self._client, self._form, self._topic, found, self._run, started_ms)
            self._records(transaction, step)
            marker = self._marker(transaction, step)
            transaction.commit(marker)
        write_published(self._client, marker, started_ms)
        log.info("%s: %s records published", found.name, f"{found.records:,}")
        return step.outcome(PUBLISHED)

    def _records(self, transaction: Transaction, step: ToSend) -> None:
        found = step.found
        with Content(found.path, self._longest) as content:
            transaction.begin()
            for number, line in content.lines():
                kafka_ms, key = self._judge.stamp(line, now_ms())
                transaction.send(line, key, number % self._partitions, kafka_ms)
            require_same(found.name, found.identity, content.finish())

    def _marker(self, transaction: Transaction, step: ToSend) -> Marker:
        ranges, found = transaction.acknowledge(), step.found
        partitions = sorted(ranges.first)
        return Marker(
            stream=self._form.stream,
            topic=self._topic,
            name=found.name,
            digest=found.identity.digest,
            size=found.identity.size,
            records=found.records,
            blank=found.blank,
            timestamps=self._form.timestamps,
            partitions=partitions,
            first_offsets=[ranges.first[partition] for partition in partitions],
            last_offsets=[ranges.last[partition] for partition in partitions],
            run=self._run,
            published_ms=now_ms(),
        )

    def _pace(self, records: int) -> None:
        """Keep the rate between files: within a file it would keep a transaction open."""
        time.sleep(max(0.0, self._due - time.monotonic()))
        if self._form.rate:
            self._due = time.monotonic() + records / self._form.rate
