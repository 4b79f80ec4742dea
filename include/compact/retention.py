"""What is old enough to expire and certified. Pure: no service.

Hours expire oldest first and without a gap, since every hour from the first that is known is due
for a judgement: one that was never certified, or has changed since, stops those after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from include.reconcile.types import HOUR, Certificate

CHECK_DAYS = 30  # dead letters, heartbeats and checks
PROOF_DAYS = 400  # ledger, sealed rows, certificates and their evidence


@dataclass(frozen=True)
class OldHours:
    """What is known of a stream's hours before the cutoff.

    later: hour -> highest batch that counts or may yet; mended: hour -> number of the last repair of its ledger rows;
    pinned: the first hour in ledger rows that must stay.
    """

    cutoff: datetime
    certificates: Mapping[datetime, Certificate]
    later: Mapping[datetime, int]
    damaged: Collection[datetime] = ()
    mended: Mapping[datetime, int] = field(default_factory=dict)
    pinned: datetime | None = None


def expired_before(old: OldHours) -> tuple[datetime | None, str]:
    """Return the hour before which all hours may expire, None when there is none, and what stops the next one."""
    hour = min([*old.certificates, *old.later], default=None)
    if hour is None or hour >= old.cutoff:
        return None, ""
    first = hour
    reason = ""
    while hour < old.cutoff and not reason:
        reason = _why_kept(hour, old)
        hour += HOUR if not reason else 0 * HOUR
    return (hour if hour > first else None), reason


def _why_kept(hour: datetime, old: OldHours) -> str:
    certificate = old.certificates.get(hour)
    if certificate is None:
        return f"{hour:%Y-%m-%dT%H} was never certified"
    if hour in old.damaged:
        return f"the sealed rows of {hour:%Y-%m-%dT%H} are not those that were certified"
    if old.later.get(hour, 0) > certificate.frontier:
        return f"{hour:%Y-%m-%dT%H} has events that came after its certificate"
    if old.mended.get(hour, 0) > certificate.seal:
        return f"ledger rows of {hour:%Y-%m-%dT%H} were mended after its certificate"
    if old.pinned is not None and old.pinned <= hour:
        return f"the last ledger rows of a partition list {old.pinned:%Y-%m-%dT%H}"
    return ""


def certified_hours(
    held: Mapping[datetime, int], certificates: Mapping[datetime, Certificate]
) -> list[datetime]:
    """Return those of the hours that have a certificate, oldest first."""
    return sorted(hour for hour in held if hour in certificates)
