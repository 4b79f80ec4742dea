"""What each served view must say of some events: plain loops over the events, written from the requirements.

Slow on purpose and nothing of the pipeline, so that it is easy to believe. Values are exact: integers,
texts, Decimals for amounts, Fractions for averages and rates, None where there is nothing to average.
Owns: which view is computed how. Leaves the rules to users.py, requests.py and arrivals.py, and what
counts as equal to compare.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from include.traffic.view_truth import adverts, arrivals, requests, users
from include.traffic.view_truth.windows import Row, SeenEvent, counted_once, seen

VIEWS: dict[str, Callable[[Iterable[SeenEvent]], list[Row]]] = {
    "ad_events_aggregated": adverts.ad_events_aggregated,
    "user_activity": users.user_activity,
    "action_metrics": users.action_metrics,
    "user_totals": users.user_totals,
    "busy_users": users.busy_users,
    "late_events": arrivals.late_events,
    "arrival_delay": arrivals.arrival_delay,
    "response_times": requests.response_times,
    "error_rates": requests.error_rates,
    "ip_patterns": requests.ip_patterns,
    "sla": requests.sla,
    "log_user_activity": requests.log_user_activity,
    "service_popularity": requests.service_popularity,
    "system_health": requests.system_health,
}

__all__ = ["VIEWS", "Row", "SeenEvent", "counted_once", "seen", "view_rows"]


def view_rows(view: str, events: Iterable[SeenEvent]) -> list[Row]:
    """Return the rows of a view, with its columns but for `status`, in no order.

    Args:
        view: a name in VIEWS.
        events: accepted events in the order of sending, of one stream (arrival_delay: of any): as they came, or
            `counted_once` for what is served once their hours are sealed.
    """
    return VIEWS[view](events)
