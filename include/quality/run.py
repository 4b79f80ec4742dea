"""Checks hours of a stream against every suite that applies: read, validate, keep, publish, report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import product
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import pandas as pd  # type: ignore[import-untyped]
from clickhouse_driver import Client
from confluent_kafka import KafkaException

from include.contracts import Contract, load_contract
from include.quality.data import read_frame
from include.quality.docs import docs_folder, publish
from include.quality.hours import HOUR_FORMAT, NothingToCheckError, newest_certified_hours
from include.quality.parameters import HOUR, expectation_parameters
from include.quality.raw_frame import raw_frame
from include.quality.raw_log import SampleError, read_sample
from include.quality.report import CheckResult, QualityFailedError, QualityReport, Unchecked, write_history
from include.quality.suites import (
    SUITES_DIR,
    LoadedSuite,
    SuiteError,
    SuiteMeta,
    load_suites,
    parameters_used,
)
from include.settings import Settings
from include.topics.admin import BrokerUnreachableError
from include.topics.offsets import TopicMissingError
from include.warehouse.client import connect

if TYPE_CHECKING:
    from include.quality.validate import SuiteRunner

log = logging.getLogger(__name__)

UNREADABLE = (SampleError, BrokerUnreachableError, TopicMissingError, KafkaException)


def check_hours(
    settings: Settings,
    stream: str,
    hours: Sequence[datetime],
    load: Callable[[str], Contract] = load_contract,
) -> QualityReport:
    """Run every suite of the stream on each hour; no hours: the newest certified ones.

    Suites on tables come first, and their results are kept before Kafka is asked for anything: without Kafka the
    raw log is reported as not checked. Results go to quality_checks and to Data Docs before anything is raised;
    running it again adds a new run to the history. A suite that fails never withholds a proof.

    Raises:
        QualityFailedError: a critical expectation failed, or a suite could not be checked; its `report` is the whole
            result.
        SuiteError: a suite's file is wrong.
        NothingToCheckError: no hours were given and none is certified.
    """
    from include.quality.validate import SuiteRunner

    client = connect(settings)
    try:
        hours = list(hours) or newest_certified_hours(client, stream)
        if not hours:
            raise NothingToCheckError(
                f"no hour of {stream} is certified yet: name one, or run reconcile_hour first"
            )
        contract = load(stream)
        parameters = {hour: _parameters(contract, hour) for hour in hours}
        suites = load_suites(contract)
        for loaded in suites:
            _refuse_unknown(contract, loaded, parameters[hours[0]])
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{stream}-{token_hex(2)}"
        runner = SuiteRunner(docs_folder(settings.artifacts_dir) / run, stream)
        results: list[CheckResult] = []
        unchecked: list[Unchecked] = []
        for of_raw_log in (False, True):
            chosen = [loaded for loaded in suites if (loaded.file.meta.query is None) == of_raw_log]
            found, missed = _checked(runner, chosen, parameters, partial(_frame, settings, client, contract))
            write_history(client, run, found)
            results += found
            unchecked += missed
    finally:
        client.disconnect()
    site = runner.build_site()
    report = QualityReport(run, stream, str(site), tuple(results), tuple(unchecked))
    publish(site.parent, report)
    for line in (f"quality of {stream}, full result in {report.site}", *report.as_text().splitlines()):
        log.info("%s", line)
    for result in report.failed("warning"):
        log.warning("%s", result)
    if report.failed("critical") or report.unchecked:
        raise QualityFailedError(report)
    return report


def _checked(
    runner: SuiteRunner,
    suites: Sequence[LoadedSuite],
    parameters: Mapping[datetime, dict[str, Any]],
    read: Callable[[SuiteMeta, datetime], pd.DataFrame],
) -> tuple[list[CheckResult], list[Unchecked]]:
    """Return the results of suites on hours, and what could not be read: of that, later hours are not tried."""
    results: list[CheckResult] = []
    hours = tuple(parameters)
    for (index, hour), loaded in product(enumerate(hours), suites):
        name = loaded.file.name
        try:
            frame = read(loaded.file.meta, hour)
        except UNREADABLE as error:
            return results, [Unchecked(runner.stream, name, hours[index:], str(error))]
        log.info("%s %s: %d rows for %s", runner.stream, f"{hour:{HOUR_FORMAT}}", len(frame), name)
        results += runner.check(loaded, frame, hour, parameters[hour])
    return results, []


def _parameters(contract: Contract, hour: datetime) -> dict[str, Any]:
    if hour.astimezone(UTC).timestamp() % HOUR.total_seconds():
        raise ValueError(f"{hour.isoformat()} is not the start of an hour")
    return expectation_parameters(contract, hour)


def _refuse_unknown(contract: Contract, loaded: LoadedSuite, parameters: Mapping[str, Any]) -> None:
    unknown = sorted(parameters_used(loaded.file) - parameters.keys())
    if unknown:
        path = SUITES_DIR / f"{loaded.file.name}.json"
        raise SuiteError(path, f"{contract.stream}'s contract gives no parameter {', '.join(unknown)}")


def _frame(
    settings: Settings, client: Client, contract: Contract, meta: SuiteMeta, hour: datetime
) -> pd.DataFrame:
    if meta.query is not None:
        return read_frame(client, meta.query, contract, hour)
    sample = read_sample(settings, client, contract, hour.astimezone(UTC))
    if sample.expired:
        log.info("%d of %d sampled offsets had expired from Kafka", sample.expired, sample.planned)
    return raw_frame(contract, sample)
