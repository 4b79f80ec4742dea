"""Checks hours of a stream against every suite that applies: read, validate, publish, keep, report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from secrets import token_hex

import pandas as pd  # type: ignore[import-untyped]
from clickhouse_driver import Client

from include.contracts import Contract, load_contract
from include.quality.data import read_frame
from include.quality.docs import docs_folder, publish
from include.quality.parameters import HOUR, expectation_parameters
from include.quality.raw_frame import raw_frame
from include.quality.raw_log import read_sample
from include.quality.report import QualityFailedError, QualityReport, write_history
from include.quality.suites import SUITES_DIR, SuiteError, SuiteMeta, load_suites, parameters_used
from include.settings import Settings
from include.warehouse.client import connect

log = logging.getLogger(__name__)

HOUR_FORMAT = "%Y-%m-%dT%H"
NEWEST_HOURS = 3


class NothingToCheckError(LookupError):
    """No hour was named and none is certified yet."""


def parse_hours(text: str) -> list[datetime]:
    """Return the hours of a text such as `2026-01-01T05, 2026-01-01T06` (UTC), sorted, each once.

    Raises:
        ValueError: a part is not of the form YYYY-MM-DDTHH.
    """
    parts = [part.strip() for part in text.replace(",", " ").split()]
    return sorted({datetime.strptime(part, HOUR_FORMAT).replace(tzinfo=UTC) for part in parts})


def newest_certified_hours(client: Client, stream: str, count: int = NEWEST_HOURS) -> list[datetime]:
    """Return the newest hours that have a certificate, oldest first (aware UTC)."""
    rows = client.execute(
        "SELECT DISTINCT hour FROM certificates WHERE stream = %(stream)s ORDER BY hour DESC LIMIT %(count)s",
        {"stream": stream, "count": count},
    )
    return sorted(hour.replace(tzinfo=UTC) for (hour,) in rows)


def check_hours(
    settings: Settings,
    stream: str,
    hours: Sequence[datetime],
    load: Callable[[str], Contract] = load_contract,
) -> QualityReport:
    """Run every suite of the stream on each hour; no hours: the newest certified ones.

    Results go to quality_checks and to Data Docs before anything is raised; running it again adds a new
    run to the history. A suite that fails never withholds a proof.

    Raises:
        QualityFailedError: a critical expectation failed; its `report` is the whole result.
        SuiteError: a suite's file is wrong.
        SampleError: Kafka did not deliver the raw records; other errors of Kafka as in include/topics/offsets.py.
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
        suites = load_suites(contract)
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{stream}-{token_hex(2)}"
        runner = SuiteRunner(docs_folder(settings.artifacts_dir) / run, stream)
        results = []
        for hour in hours:
            if hour.astimezone(UTC).timestamp() % HOUR.total_seconds():
                raise ValueError(f"{hour.isoformat()} is not the start of an hour")
            parameters = expectation_parameters(contract, hour)
            for loaded in suites:
                unknown = sorted(parameters_used(loaded.file) - parameters.keys())
                if unknown:
                    path = SUITES_DIR / f"{loaded.file.name}.json"
                    raise SuiteError(path, f"{stream}'s contract gives no parameter {', '.join(unknown)}")
                frame = _frame(settings, client, contract, loaded.file.meta, hour)
                log.info(
                    "%s %s: %d rows for %s", stream, f"{hour:{HOUR_FORMAT}}", len(frame), loaded.file.name
                )
                results += runner.check(loaded, frame, hour, parameters)
        site = runner.build_site()
        report = QualityReport(run, stream, str(site), tuple(results))
        publish(site.parent, report)
        write_history(client, report)
    finally:
        client.disconnect()
    log.info("quality of %s, full result in %s\n%s", stream, report.site, report.as_text())
    for result in report.failed("warning"):
        log.warning("%s", result)
    if report.failed("critical"):
        raise QualityFailedError(report)
    return report


def _frame(
    settings: Settings, client: Client, contract: Contract, meta: SuiteMeta, hour: datetime
) -> pd.DataFrame:
    if meta.query is not None:
        return read_frame(client, meta.query, contract.stream, hour)
    sample = read_sample(settings, client, contract, hour.astimezone(UTC))
    if sample.expired:
        log.info("%d of %d sampled offsets had expired from Kafka", sample.expired, sample.planned)
    return raw_frame(contract, sample)
