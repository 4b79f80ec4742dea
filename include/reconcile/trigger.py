"""Turns a trigger form, a schedule or a backfill into a planned run, and a long range into one run after another."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.forms import field_time
from include.reconcile.form import AS_SET
from include.reconcile.hours import first_part
from include.reconcile.plan import make_plans
from include.reconcile.types import HOUR, as_utc
from include.settings import get_settings

log = logging.getLogger(__name__)

BACKFILL = "backfill"


def plan_run(params: Mapping[str, Any], run_type: str, logical_date: datetime | None) -> dict[str, Any]:
    """Plan a run; return its id, how many hours it judges, how many are to be recounted, and the form of the rest.

    params: streams, from_hour and to_hour (ISO or None), repair, recount_anyway (None: where one hour is named).
    A backfill's run judges the hour before its date. rest is the form of the run that goes on with the
    range, None where this run takes all of it.

    Raises:
        FormError: the hours are no ISO timestamps, none or too many.
        ReconcileError: a topic does not exist.
    """
    settings = get_settings()
    start, end = (_hour(name, params[name]) for name in ("from_hour", "to_hour"))
    start, end = start or end, end or start
    anyway = params["recount_anyway"]
    if anyway is None:
        anyway = start is not None and start == end
    if getattr(run_type, "value", run_type) == BACKFILL and logical_date is not None and start is None:
        start = end = _whole(logical_date) - HOUR
        log.info("this run of a backfill takes %s, the hour before its date", _text(start))
    rest = None
    if start is not None and end is not None:
        last, following = first_part(start, end)
        if following is not None:
            rest = {**params, "from_hour": _text(following), "to_hour": _text(end), "recount_anyway": anyway}
            log.info(
                "this run takes %s to %s; a further one goes on with the rest, from %s to %s",
                *map(_text, (start, last, following, end)),
            )
        end = last
    repair = settings.repair if params["repair"] == AS_SET else params["repair"]
    run, plans = make_plans(settings, params["streams"], start, end, repair, recount_anyway=anyway)
    to_recount = sum(plan.verdict is None for plan in plans)
    log.info("run %s: %s hours to judge, %s of them to recount", run, len(plans), to_recount)
    return {"run": run, "hours": len(plans), "to_recount": to_recount, "rest": rest}


def _hour(name: str, text: str | None) -> datetime | None:
    return _whole(field_time(name, text)) if text else None


def _whole(moment: datetime) -> datetime:
    return as_utc(moment).replace(minute=0, second=0, microsecond=0)


def _text(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H:%M:%SZ}"
