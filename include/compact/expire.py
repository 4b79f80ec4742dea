"""Removes what has expired, in an order in which no reader sees a half and no run judges an hour again.

The decision is recorded first. Then go the ledger rows, whose totals are carried forward; then the
certificates, and with them the hour from the view, at once, since its deltas are already gone; then,
after the grace, the sealed rows that no query can be reading any more; then the evidence. Takeover
rows never expire: the highest one rules. What is interrupted is taken up by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta

from clickhouse_driver import Client

from include.compact.carried import Carried, carried_totals
from include.compact.mutate import delete_rows
from include.compact.retention import CHECK_DAYS, PROOF_DAYS, OldHours, certified_hours, expired_before
from include.compact.seals import batch_limits
from include.contracts import Contract
from include.reconcile import store
from include.reconcile.history import repairs
from include.reconcile.types import as_utc, epoch
from include.warehouse.sql import read_sql

EVIDENCE = ("verdicts", "differences", "balances", "reconciliations", "amendments")
CONDITIONS = "compact/conditions/"


@dataclass(frozen=True)
class Removal:
    """Rows of one table that go together; waits: no sooner than a grace after the certificates."""

    table: str
    condition: str
    parameters: Mapping[str, object]
    rows: int
    waits: bool = False


@dataclass(frozen=True)
class Expiry:
    """What expires of one stream. before: its hours that begin earlier; carried: new rows of expired_ledger."""

    stream: str
    removals: tuple[Removal, ...] = ()
    before: datetime | None = None
    carried: tuple[tuple[object, ...], ...] = ()
    kept: str = ""


@dataclass
class _Plan:
    client: Client
    removals: list[Removal] = field(default_factory=list)

    def add(self, table: str, condition: str, values: Mapping[str, object], waits: bool = False) -> None:
        statement = read_sql("compact/count_rows.sql.j2", table=table, condition=CONDITIONS + condition)
        rows = self.client.execute(statement, values)[0][0]
        if rows:
            self.removals.append(Removal(table, CONDITIONS + condition, values, rows, waits))


def plan_expiry(client: Client, contract: Contract, now: datetime, damaged: Sequence[datetime]) -> Expiry:
    """Decide what of a stream is old and certified. Changes nothing."""
    stream, plan = contract.stream, _Plan(client)
    certificates = store.certificates(client, stream)
    day = f"{now - timedelta(days=CHECK_DAYS):%Y-%m-%d}"
    found = client.execute(read_sql("compact/old_dead_letters.sql"), {"stream": stream, "day": day})
    hours = certified_hours({as_utc(hour): rows for hour, rows in found}, certificates)
    if hours:
        letters = {"stream": stream, "day": day, "hours": [epoch(hour) for hour in hours]}
        plan.add("dead_letters", "dead_letters.sql", letters)
    cutoff = (now - timedelta(days=PROOF_DAYS)).replace(minute=0, second=0, microsecond=0)
    values: dict[str, object] = {
        **batch_limits(client, stream),
        "stream": stream,
        "cutoff": store.text(cutoff),
    }
    before, kept = _decide(client, contract, cutoff, damaged, values)
    if before is None:
        return Expiry(stream, tuple(plan.removals), kept=kept)
    values |= {"before": store.text(before), "before_ms": epoch(before) * 1000}
    floors = dict(client.execute(read_sql("compact/ledger_floor.sql.j2"), values))
    carried = _carried(client, floors, values)
    plan.add("ledger", "ledger.sql", _by_partition(floors, values))
    plan.add("certificates", "hour.sql", values)
    for cube in contract.cubes:
        plan.add(cube.sealed_table, "window.sql", values, waits=True)
        plan.add(cube.delta_table, "window.sql", values)
    for table in EVIDENCE:
        plan.add(table, "hour.sql", values)
    plan.add("ledger_repairs", "repairs.sql", values)
    return Expiry(stream, tuple(plan.removals), before, tuple(carried), kept)


def _decide(
    client: Client,
    contract: Contract,
    cutoff: datetime,
    damaged: Sequence[datetime],
    values: Mapping[str, object],
) -> tuple[datetime | None, str]:
    certificates = store.certificates(client, contract.stream, end=cutoff)
    if not certificates:
        # A run that was interrupted may have removed the certificates and nothing after them.
        done = as_utc(client.execute(read_sql("compact/expired_before.sql"), values)[0][0])
        return (done, "") if epoch(done) else (None, "")
    later: dict[datetime, int] = {}
    found = client.execute(read_sql("compact/ledger_hours.sql.j2"), values)
    for cube in contract.cubes:
        found += client.execute(read_sql("compact/delta_hours.sql.j2", cube=cube), values)
    for hour, batch in found:
        later[as_utc(hour)] = max(later.get(as_utc(hour), 0), batch)
    pinned = client.execute(read_sql("compact/pinned_hour.sql.j2"), values)
    mended = {hour: number for number, _, hours in repairs(client, contract.stream) for hour in hours}
    return expired_before(
        OldHours(cutoff, certificates, later, damaged, mended, as_utc(pinned[0][0]) if pinned else None)
    )


def _by_partition(floors: Mapping[int, int], values: Mapping[str, object]) -> dict[str, object]:
    return {**values, "partitions": list(floors) or [0], "floors": list(floors.values()) or [0]}


def _carried(
    client: Client, floors: Mapping[int, int], values: Mapping[str, object]
) -> list[tuple[object, ...]]:
    stream = str(values["stream"])
    totals = carried_totals(client, stream)
    starts = [totals[partition].end_offset if partition in totals else 0 for partition in floors]
    parameters = _by_partition(floors, values) | {"carried": starts or [0]}
    rows: list[tuple[object, ...]] = []
    for partition, until, *sums in client.execute(read_sql("compact/expiring_ledger.sql.j2"), parameters):
        _, *before = astuple(totals.get(partition, Carried(0)))
        rows.append((stream, partition, until, *(a + b for a, b in zip(before, sums, strict=True))))
    return rows


def highest_going(client: Client, expiry: Expiry) -> int:
    """Return the highest batch of the ledger rows that expire, 0 when none does."""
    going = [removal for removal in expiry.removals if removal.table == "ledger"]
    statement = "compact/highest_batch.sql.j2"
    return max(
        (client.execute(read_sql(statement, condition=r.condition), r.parameters)[0][0] for r in going),
        default=0,
    )


def expire(client: Client, expiry: Expiry, wait_for_readers: Callable[[], None]) -> None:
    """Remove what was planned; running it again removes what is left.

    Raises:
        MutationError: ClickHouse did not finish in time.
    """
    now = datetime.now(UTC)
    if expiry.before is not None and expiry.removals:
        client.execute("INSERT INTO expired_hours VALUES", [(expiry.stream, expiry.before, now)])
    if expiry.carried:
        client.execute("INSERT INTO expired_ledger VALUES", [(*row, now) for row in expiry.carried])
    waited = False
    for removal in expiry.removals:
        if removal.waits and not waited:
            wait_for_readers()
            waited = True
        statement = read_sql("compact/drop_rows.sql.j2", table=removal.table, condition=removal.condition)
        delete_rows(client, removal.table, statement, removal.parameters)
