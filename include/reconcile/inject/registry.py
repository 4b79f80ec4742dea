"""Finds the function of a class of drift and runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from include.contracts import Contract, load_contract
from include.reconcile.inject import batches, ledger, records, rows
from include.reconcile.inject.order import DriftNotAllowedError, Injection, Injector, Order, UnknownDriftError
from include.settings import Settings
from include.warehouse.client import connect

INJECTORS: dict[str, Injector] = {
    "lost_batch": batches.lose_batch,
    "doubled_batch": batches.double_batch,
    "stale_driver": batches.write_as_stale_driver,
    "lost_row": rows.lose_rows,
    "doubled_row": rows.double_rows,
    "altered_figure": rows.alter_figures,
    "wrong_window": rows.move_rows,
    "ledger_gap": ledger.open_gap,
    "ledger_overlap": ledger.overlap,
    "late_event": records.send_late,
    "duplicate_events": records.send_again,
}


def inject_drift(
    settings: Settings,
    kind: str,
    stream: str,
    hour: datetime,
    size: int,
    seed: int,
    load: Callable[[str], Contract] = load_contract,
    cube: str = "",
) -> Injection:
    """Do one kind of damage to `size` rows, batches or records of an hour; `cube` has the rows, empty: by chance.

    Raises:
        DriftNotAllowedError: the setting is off; nothing was read.
        UnknownDriftError, UnknownCubeError: there is no such kind or cube.
        TooFewRowsError: the hour holds less; nothing was damaged.
        NoFreeBatchError: no batch id is free for rows of a further batch; nothing was damaged.
        MutationError: a removal did not finish; some rows may be gone.
    """
    if not settings.allow_inject_drift:
        raise DriftNotAllowedError
    if kind not in INJECTORS:
        raise UnknownDriftError(f"no drift is called {kind!r}: choose one of {', '.join(sorted(INJECTORS))}")
    client = connect(settings)
    try:
        order = Order(settings, client, load(stream), hour, size, random.Random(seed), cube)
        return INJECTORS[kind](order)
    finally:
        client.disconnect()
