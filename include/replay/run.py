"""One run of replay_dead_letters: judge the chosen letters, approve those that pass, wait until they are folded.

Writes approvals and nothing else. A letter whose record has expired in Kafka is never approved, even
where its whole payload is kept: its hour could not be proved again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.contracts import Contract
from include.contracts.classifier import Classifier
from include.replay.judge import Judgement, judge
from include.replay.letters import Choice, approve, approved_by, chosen, folded
from include.replay.originals import read_originals
from include.settings import Settings
from include.spark.heartbeats import live_launches
from include.warehouse.client import connect
from include.warehouse.contract_versions import store_version

POLL_SECONDS = 2.0
RUN_HOURS = 24  # most hours that one run of reconcile_hour takes


@dataclass(frozen=True)
class Outcome:
    """What a judgement came to: counts by (reason then, reason now) and (reason then, why not), events by hour."""

    stream: str
    contract_version: int
    judged: int
    passed: Counter[str]
    rejected: Counter[tuple[str, str]]
    unjudged: Counter[tuple[str, str]]
    hours: Counter[datetime]

    def figures(self) -> dict[str, object]:
        """Return the summary's lines."""
        return {
            "contract version": self.contract_version,
            "judged": self.judged,
            "passed": sum(self.passed.values()),
            **{f"  {reason}": count for reason, count in sorted(self.passed.items())},
            "still rejected": sum(self.rejected.values()),
            **{f"  {then}, now {now}": count for (then, now), count in sorted(self.rejected.items())},
            "cannot be judged": sum(self.unjudged.values()),
            **{f"  {then}, {why}": count for (then, why), count in sorted(self.unjudged.items())},
            "hours": [f"{hour:%Y-%m-%dT%HZ}: {count}" for hour, count in sorted(self.hours.items())],
            **({} if self.passed else {"nothing passed": self._why_none()}),
        }

    def _why_none(self) -> str:
        if self.rejected:
            return f"version {self.contract_version} of the contract rejects all of them; see Triage for what changes it"
        if self.unjudged:
            return "Kafka has none of these records any more"
        return "no dead letter of this choice is left that was neither approved nor replayed"


@dataclass(frozen=True)
class Folded:
    """How many of a run's approvals are folded, by event hour, and why the rest is not yet; empty when all is."""

    approved: int
    hours: dict[datetime, int]
    waits: str

    def figures(self) -> dict[str, object]:
        """Return the summary's lines."""
        return {
            "approved": self.approved,
            "folded": sum(self.hours.values()),
            "hours to seal again": [f"{hour:%Y-%m-%dT%HZ}" for hour in sorted(self.hours)],
            **({"the rest": self.waits} if self.waits else {}),
            **({} if self.approved else {"nothing to fold": "this run approved no record"}),
        }


def judge_letters(
    settings: Settings, contract: Contract, choice: Choice, run: str, dry_run: bool = False
) -> Outcome:
    """Judge the chosen letters under the loaded contract and approve those that pass, unless it is a dry run.

    Running it again finds only what is neither approved under this version nor replayed.

    Raises:
        ContractChangedError: another contract is kept under this version.
        OriginalsError, BrokerUnreachableError: Kafka does not answer; trigger again.
    """
    client = connect(settings)
    classifier, total, passed, hours = Classifier(contract), Judgement(), Counter[str](), Counter[datetime]()
    try:
        if not dry_run:
            store_version(client, contract)  # the recount of their hours reads it
        for page in chosen(client, contract.stream, contract.version, choice):
            found = judge(classifier, page, read_originals(settings, contract.topic.name, page))
            passed.update(item.letter.reason for item in found.passed)
            hours.update(datetime.fromtimestamp(item.hour, UTC) for item in found.passed)
            total.rejected.update(found.rejected)
            total.unjudged.update(found.unjudged)
            if not dry_run:
                letters = [item.letter for item in found.passed]
                approve(client, contract.stream, contract.version, run, letters)
    finally:
        client.disconnect()
    judged = sum(passed.values()) + sum(total.rejected.values())
    return Outcome(contract.stream, contract.version, judged, passed, total.rejected, total.unjudged, hours)


def await_folded(settings: Settings, stream: str, run: str, limit_seconds: float) -> Folded:
    """Wait until the streaming job has folded what a run approved; at once when the stream does not run."""
    client = connect(settings)
    waits = ""

    try:
        approved = approved_by(client, stream, run)

        def look() -> dict[datetime, int]:
            return folded(client, stream, run) if approved else {}

        def goes_on(hours: dict[datetime, int]) -> bool:
            return sum(hours.values()) < approved and bool(live_launches(client, stream))

        waiting = Retrying(
            retry=retry_if_result(goes_on),
            stop=stop_after_delay(limit_seconds),
            wait=wait_fixed(POLL_SECONDS),
        )
        try:
            hours = waiting(look)
        except RetryError:
            hours = look()
            waits = (
                f"not folded within {limit_seconds:.0f} s: the stream may be behind, or was launched under an older "
                "contract (restart_stream), or its log says what cannot be replayed"
            )
        else:
            if sum(hours.values()) < approved:
                waits = "the stream does not run: folded at its next launch"
        return Folded(approved, hours, waits)
    finally:
        client.disconnect()


def reconcile_forms(stream: str, hours: Sequence[datetime]) -> list[dict[str, object]]:
    """Return the forms of the reconcile_hour runs that seal these hours again: stretches without a hole."""
    forms: list[dict[str, object]] = []
    stretch: list[datetime] = []
    for hour in [*sorted(hours), None]:
        if stretch and (
            hour is None or hour != stretch[-1] + timedelta(hours=1) or len(stretch) == RUN_HOURS
        ):
            first, last = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (stretch[0], stretch[-1]))
            forms.append({"streams": [stream], "from_hour": first, "to_hour": last, "repair": "auto"})
            stretch = []
        if hour is not None:
            stretch.append(hour)
    return forms
