"""Why a file is not published, from what it holds, the contract and the form. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from include.contracts import Contract
from include.files.form import EVENT, REFUSE, STOP, Form
from include.files.report import moment
from include.files.survey import Survey
from include.reconcile.types import from_epoch

LONGEST_RUN = timedelta(hours=1)
# Time to be folded and proved before Kafka removes a record.
PROOF_MARGIN = timedelta(hours=24)
HOURS_SHOWN = 5


def refusals(
    found: Survey, contract: Contract, form: Form, certified: Collection[datetime], now: datetime
) -> list[str]:
    """Return every reason why a file is not to be published; `certified` are hours with a certificate."""
    reasons = [_size(found), _rejected(found, form), _age(found, contract, form, now)]
    hours = sorted(hour for hour in event_hours(found) if hour in certified)
    if hours and form.certified_hours == REFUSE:
        shown = ", ".join(f"{hour:%Y-%m-%dT%HZ}" for hour in hours[:HOURS_SHOWN])
        more = f" and {len(hours) - HOURS_SHOWN} more" if len(hours) > HOURS_SHOWN else ""
        reasons.append(
            f"its events fall into hours that are certified ({shown}{more}), which would be sealed again with other "
            "figures: choose certified hours `allow` if that is meant"
        )
    return [reason for reason in reasons if reason]


def event_hours(found: Survey) -> list[datetime]:
    """Return the event hours of a file's accepted lines, oldest first."""
    return [from_epoch(hour) for hour in sorted(found.hours)]


def reach(contract: Contract) -> timedelta | None:
    """Return how far back a record's Kafka time may lie, so that it is kept until it is proved; None: any time."""
    limits = [
        int(contract.topic.config.get(name, "-1"))
        for name in ("retention.ms", "message.timestamp.before.max.ms")
    ]
    kept = [limit for limit in limits if 0 <= limit < 10**14]
    return max(timedelta(0), timedelta(milliseconds=min(kept)) - PROOF_MARGIN) if kept else None


def too_slow(records: int, rate: float) -> str:
    """Return why a run cannot keep a rate of records a second, empty when it can."""
    if not rate or records / rate <= LONGEST_RUN.total_seconds():
        return ""
    return (
        f"{records:,} records at {rate:g} a second take {records / rate / 3600:.1f} hours, and a run ends within "
        f"{LONGEST_RUN.total_seconds() / 3600:g}: raise the rate, or take fewer files by the name pattern"
    )


def _size(found: Survey) -> str:
    if not found.records:
        blank = f" but {found.blank:,} blank lines" if found.blank else ""
        return f"holds no record{blank}: remove it"
    return ""


def _rejected(found: Survey, form: Form) -> str:
    if form.rejected_lines != STOP or not found.rejected:
        return ""
    counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found.rejected.items()))
    return f"the stream would reject {found.rejected.total():,} of {found.records:,} lines ({counts}): {found.first_rejected}"


def _age(found: Survey, contract: Contract, form: Form, now: datetime) -> str:
    if found.oldest is None:
        return ""
    event_us, number = found.oldest
    age = now - datetime.fromtimestamp(event_us / 1e6, UTC)
    where = f"line {number} is of {moment(event_us // 1_000)}"
    if form.timestamps == EVENT:
        limit = reach(contract)
        if limit is not None and age > limit:
            return (
                f"{where}, and a record can be stamped with its event time for {limit / timedelta(hours=1):g} hours: "
                f"{contract.topic.name} would lose it before it is proved"
            )
        return ""
    if age > timedelta(hours=contract.maximum_age_hours) - LONGEST_RUN:
        return (
            f"{where}, and {contract.stream} rejects as stale what arrives {contract.maximum_age_hours} hours late: "
            "choose timestamps `event`, which stamps each record with its event time"
        )
    return ""
