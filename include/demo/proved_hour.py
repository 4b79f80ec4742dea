"""What the example DAG report_proved_hours reads: the revenue of one proved hour, from the served view."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal

from include.forms import FormError, field_hour
from include.reconcile.types import HOUR
from include.settings import Settings
from include.summary import log_summary
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

log = logging.getLogger(__name__)


class HourNotSealedError(RuntimeError):
    """An hour has provisional figures."""


def revenue_by_country(settings: Settings, partition: str | None) -> dict[str, Decimal]:
    """Return dollars by country of an hour; partition is its key, YYYY-MM-DDTHH in UTC.

    Raises:
        FormError: there is no partition key, or it is not an hour.
        HourNotSealedError: events came after the hour was sealed.
    """
    if not partition:
        raise FormError("report_proved_hours needs a partition: a proved hour such as 2026-01-01T05")
    hour = field_hour("partition", partition)
    client = connect(settings)
    try:
        rows = client.execute(
            read_sql("report/revenue_by_country.sql"),
            {"from": f"{hour:%Y-%m-%d %H:%M:%S}", "to": f"{hour + HOUR:%Y-%m-%d %H:%M:%S}"},
        )
    finally:
        client.disconnect()
    provisional = [country for country, _, is_provisional in rows if is_provisional]
    if provisional:
        raise HourNotSealedError(
            f"{partition} is not sealed: {', '.join(provisional)} have provisional figures"
        )
    return {country: dollars for country, dollars, _ in rows}


def log_revenue(partition: str, revenue: Mapping[str, Decimal]) -> None:
    """Log one line a country, and why there is none."""
    if not revenue:
        log.info("%s is proved and empty: no event belongs to it", partition)
        return
    log_summary(f"proved revenue of {partition}, dollars", {c: f"{d:,.2f}" for c, d in revenue.items()})
