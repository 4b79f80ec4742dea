"""What a run of the suites found: results as data, and as rows of quality_checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from clickhouse_driver import Client

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class CheckResult:
    """One expectation on one hour. `observed` and `expected` are text; `evidence` is the path of the full result."""

    stream: str
    hour: datetime
    suite: str
    expectation: str
    description: str
    column: str
    severity: Literal["critical", "warning"]
    success: bool
    observed: str
    expected: str
    evidence: str

    def __str__(self) -> str:
        place = f"{self.stream} {self.hour:%Y-%m-%dT%H}Z, suite {self.suite}"
        return (
            f"{place}: {self.description} [{self.expectation} on {self.column or 'the table'}]: "
            f"observed {self.observed}; expected {self.expected}; full result: {self.evidence}"
        )


@dataclass(frozen=True)
class Unchecked:
    """A suite whose data could not be read from its first hour on, and why."""

    stream: str
    suite: str
    hours: tuple[datetime, ...]
    reason: str

    def __str__(self) -> str:
        hours = ", ".join(f"{hour:%Y-%m-%dT%H}Z" for hour in self.hours)
        return f"{self.stream} {hours}, suite {self.suite}: not checked: {self.reason}"


@dataclass(frozen=True)
class SuiteSummary:
    """Counts of one suite on one hour."""

    suite: str
    hour: datetime
    passed: int
    failed_critical: int
    failed_warning: int


@dataclass(frozen=True)
class QualityReport:
    """All results of one run; `site` is the path of its Data Docs' first page."""

    run: str
    stream: str
    site: str
    results: tuple[CheckResult, ...] = field(repr=False)
    unchecked: tuple[Unchecked, ...] = ()

    @property
    def hours(self) -> set[datetime]:
        """The hours that were asked for."""
        return {r.hour for r in self.results} | {hour for item in self.unchecked for hour in item.hours}

    def failed(self, severity: Literal["critical", "warning"]) -> list[CheckResult]:
        """Return the failed expectations of one severity."""
        return [r for r in self.results if not r.success and r.severity == severity]

    @property
    def summaries(self) -> list[SuiteSummary]:
        """One summary for each suite and hour, in the order of the run."""
        groups: dict[tuple[datetime, str], list[CheckResult]] = {}
        for result in self.results:
            groups.setdefault((result.hour, result.suite), []).append(result)
        return [
            SuiteSummary(
                suite,
                hour,
                sum(r.success for r in found),
                sum(not r.success and r.severity == "critical" for r in found),
                sum(not r.success and r.severity == "warning" for r in found),
            )
            for (hour, suite), found in groups.items()
        ]

    def as_text(self) -> str:
        """Return an aligned table: hour, suite, passed, failed critical, failed warning; then what was not checked."""
        lines = [f"{'hour':<14}{'suite':<24}{'passed':>7}{'critical':>9}{'warning':>8}"]
        for s in self.summaries:
            lines.append(
                f"{s.hour:%Y-%m-%dT%H} {s.suite:<24}{s.passed:>7}{s.failed_critical:>9}{s.failed_warning:>8}"
            )
        return "\n".join([*lines, *(str(item) for item in self.unchecked)])


class QualityFailedError(Exception):
    """A critical expectation failed, or a suite could not be checked; `report` holds everything that was found."""

    def __init__(self, report: QualityReport) -> None:
        failed = report.failed("critical")
        more = [f"and {len(failed) - SHOWN_FAILURES} more"] if len(failed) > SHOWN_FAILURES else []
        heads = [f"{len(failed)} critical expectation(s) failed"] if failed or not report.unchecked else []
        lines = [*heads, *(str(result) for result in failed[:SHOWN_FAILURES]), *more]
        super().__init__(
            "\n".join([*lines, *(f"{item}; all other results are kept" for item in report.unchecked)])
        )
        self.report = report


def write_history(client: Client, run: str, results: Sequence[CheckResult]) -> None:
    """Insert one row for each expectation into quality_checks."""
    if not results:
        return
    now = datetime.now(UTC)
    client.execute(
        "INSERT INTO quality_checks (run, stream, hour, suite, expectation, column_name, severity, success, observed, "
        "expected, evidence, checked_at) VALUES",
        [
            (run, r.stream, r.hour, r.suite, r.expectation, r.column, r.severity, int(r.success), r.observed,
             r.expected, r.evidence, now)
            for r in results
        ],
    )  # fmt: skip
