"""Which rows compaction drops, from what the tables hold. Pure: no clock, no service.

Only under the certificate in force of an hour, and only while the sealed rows are those that were
certified: a damaged seal may need what stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.reconcile.types import HOUR, Certificate, epoch

MOST_HOURS = 500  # of one statement: its lists stay far below ClickHouse's largest query of 256 KiB

Seal = tuple[datetime, int, int]


@dataclass(frozen=True)
class Held:
    """Rows of one table and hour that a certificate makes needless."""

    table: str
    hour: datetime
    rows: int


@dataclass(frozen=True)
class Drop:
    """One statement's work: `rows` of these hours, each under its certificate, oldest hour first."""

    table: str
    hours: tuple[tuple[datetime, Certificate], ...]
    rows: int


@dataclass(frozen=True)
class Kept:
    """An hour whose needless rows stay, and why."""

    stream: str
    hour: datetime
    reason: str


def hour_parameters(hours: Sequence[tuple[datetime, Certificate]]) -> dict[str, object]:
    """Return the parameters that bound a statement to these hours, oldest first, and name their certificates."""
    return {
        "from": f"{hours[0][0]:%Y-%m-%d %H:%M:%S}",
        "to": f"{hours[-1][0] + HOUR:%Y-%m-%d %H:%M:%S}",
        "hours": [epoch(hour) for hour, _ in hours],
        "frontiers": [certificate.frontier for _, certificate in hours],
        "seals": [certificate.seal for _, certificate in hours],
    }


def portions(
    certificates: Mapping[datetime, Certificate],
) -> list[tuple[tuple[datetime, Certificate], ...]]:
    """Return the certified hours in time order, at most MOST_HOURS together."""
    ordered = sorted(certificates.items())
    return [tuple(ordered[at : at + MOST_HOURS]) for at in range(0, len(ordered), MOST_HOURS)]


def damaged(
    stream: str,
    hours: Sequence[datetime],
    certificates: Mapping[datetime, Certificate],
    digests: Mapping[Seal, str],
) -> list[Kept]:
    """Return those of the hours whose sealed rows are not those that were certified."""
    return [
        Kept(stream, hour, "its sealed rows are not those that were certified: run reconcile_hour for it")
        for hour in hours
        if digests.get((hour, certificates[hour].frontier, certificates[hour].seal), "")
        != certificates[hour].digest
    ]


def drops(
    held: Sequence[Held], certificates: Mapping[datetime, Certificate], kept: Sequence[Kept]
) -> list[Drop]:
    """Return one piece of work for each table and MOST_HOURS hours; hours without rows to drop are not in it."""
    stay = {item.hour for item in kept}
    result = []
    for table in dict.fromkeys(item.table for item in held):
        rows = {
            item.hour: item.rows
            for item in held
            if item.table == table and item.rows and item.hour in certificates and item.hour not in stay
        }
        for portion in portions({hour: certificates[hour] for hour in rows}):
            result.append(Drop(table, portion, sum(rows[hour] for hour, _ in portion)))
    return result
