"""One run of compact_warehouse: plan, wait for readers, drop, fold the ledger and check it, expire, merge, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.compact.checks import expire_checks
from include.compact.expire import expire, highest_going, plan_expiry
from include.compact.folds import fold_ledger
from include.compact.merge import merge_days
from include.compact.seals import compact, plan_compaction
from include.contracts import Contract, load_contract
from include.settings import Settings
from include.summary import log_summary
from include.warehouse.client import connect

log = logging.getLogger(__name__)

ANSWER_SECONDS = 3600  # a day of a busy cube is long to merge


@dataclass
class Outcome:
    """Rows dropped by table; of a dry run, those that would be. kept: sentences that say what stayed and why.

    folded: pieces of the ledger that were folded, by stream; altered: sentences on those whose rows have changed since.
    merged: days that were merged, by table.
    """

    compacted: dict[str, int] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    folded: dict[str, int] = field(default_factory=dict)
    altered: list[str] = field(default_factory=list)
    merged: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.compacted.values()) + sum(self.expired.values())


def compact_warehouse(
    settings: Settings,
    streams: Sequence[str],
    dry_run: bool = False,
    now: datetime | None = None,
    load: Callable[[str], Contract] = load_contract,
) -> Outcome:
    """Compact, fold, expire and merge; `now` is the moment that ages are counted from. Running it again changes nothing more.

    Raises:
        MutationError: ClickHouse did not finish in time; what was planned goes on there.
    """
    client, outcome = connect(settings, answer_seconds=ANSWER_SECONDS), Outcome()
    moment = now or datetime.now(UTC)
    try:
        for stream in streams:
            _stream(settings, client, load(stream), moment, dry_run, outcome)
        _add(outcome.expired, expire_checks(client, moment, dry_run))
    finally:
        client.disconnect()
    return outcome


def _stream(
    settings: Settings, client: Client, contract: Contract, now: datetime, dry_run: bool, outcome: Outcome
) -> None:
    def wait_for_readers() -> None:
        log.info("waiting %s s for queries that began under an earlier certificate", settings.grace_seconds)
        time.sleep(settings.grace_seconds)

    compaction = plan_compaction(client, contract, now)
    if compaction.drops and not dry_run:
        wait_for_readers()
        compact(client, compaction)
    expiry = plan_expiry(client, contract, now, [item.hour for item in compaction.kept])
    # Before rows go, so that no fold stands for one that is gone.
    folding = fold_ledger(client, contract.stream, now, highest_going(client, expiry), dry_run)
    if not dry_run:
        expire(client, expiry, wait_for_readers)
    _add(outcome.merged, merge_days(client, contract, now, dry_run))
    for drop in compaction.drops:
        _add(outcome.compacted, {drop.table: drop.rows})
    for removal in expiry.removals:
        _add(outcome.expired, {removal.table: removal.rows})
    _add(outcome.folded, {contract.stream: folding.pieces})
    outcome.altered += [folding.altered] if folding.altered else []
    outcome.kept += [f"{item.stream} {item.hour:%Y-%m-%dT%H}: {item.reason}" for item in compaction.kept]
    if expiry.kept:
        outcome.kept.append(f"{contract.stream}: older hours stay, since {expiry.kept}")


def _add(totals: dict[str, int], rows: dict[str, int]) -> None:
    for table, count in rows.items():
        if count:
            totals[table] = totals.get(table, 0) + count


def log_outcome(outcome: Outcome, dry_run: bool) -> None:
    """Log one aligned summary, and why there was nothing to do where there was nothing."""
    verb = "would be dropped" if dry_run else "dropped"
    if not outcome.rows:
        log.info("Nothing to do: no row is superseded, included in a seal, or old and certified.")
    figures: dict[str, object] = {f"{table}, included": f"{n:,}" for table, n in outcome.compacted.items()}
    figures |= {f"{table}, expired": f"{n:,}" for table, n in outcome.expired.items()}
    if not outcome.folded:
        log.info("No ledger piece to fold: none has come of age, and those that are folded equal their rows.")
    figures |= {f"{stream}, ledger pieces folded": f"{n:,}" for stream, n in outcome.folded.items()}
    figures |= {f"{table}, days merged": f"{n:,}" for table, n in outcome.merged.items()}
    log_summary(
        f"{outcome.rows:,} rows {verb}", {**figures, "altered": outcome.altered, "kept": outcome.kept}
    )
