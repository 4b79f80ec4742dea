"""Turns a trigger form, a schedule or a backfill into a planned run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.reconcile.plan import make_plans
from include.reconcile.types import HOUR, as_utc
from include.settings import get_settings

log = logging.getLogger(__name__)

BACKFILL = "backfill"


def plan_run(params: Mapping[str, Any], run_type: str, logical_date: datetime | None) -> dict[str, Any]:
    """Plan a run; return its id, how many hours it judges and how many of them are to be recounted.

    params: streams, from_hour and to_hour (ISO or None), repair. A backfill's run judges the hour before its date.

    Raises:
        ValueError: the hours are no ISO timestamps, or are none or too many.
        ReconcileError: a topic does not exist.
    """
    start, end = (_moment(params[name]) for name in ("from_hour", "to_hour"))
    if str(run_type) == BACKFILL and logical_date is not None and start is None and end is None:
        start = end = as_utc(logical_date) - HOUR
    run, plans = make_plans(get_settings(), params["streams"], start, end, params["repair"])
    to_recount = sum(plan.verdict is None for plan in plans)
    log.info("run %s: %s hours to judge, %s of them to recount", run, len(plans), to_recount)
    return {"run": run, "hours": len(plans), "to_recount": to_recount}


def _moment(text: str | None) -> datetime | None:
    return as_utc(datetime.fromisoformat(text)) if text else None
