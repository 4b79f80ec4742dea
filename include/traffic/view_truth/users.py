"""The views of what users do."""

from __future__ import annotations

from collections.abc import Iterable

from include.traffic.view_truth.windows import Row, SeenEvent, amount, by_window, mean, row

BUSY = 50


def _user(event: SeenEvent) -> str:
    return str(event.fields["user_id"])


def _values(events: Iterable[SeenEvent]) -> list[int]:
    return [event.fields["value"] for event in events]


def user_activity(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute sliding by 30 s, by user; actions in the order of event time.

    Only copies of one event share user and event time, and they share the action: their order is the same.
    """
    return [
        row(
            start,
            60,
            user_id=user,
            total_events=len(members),
            unique_actions=len({event.fields["action"] for event in members}),
            total_value=amount(sum(_values(members))),
            actions_sequence=[e.fields["action"] for e in sorted(members, key=lambda e: e.event_us)],
        )
        for (start, user), members in by_window(events, 60, 30, _user).items()
    ]


def action_metrics(events: Iterable[SeenEvent]) -> list[Row]:
    """Two minutes sliding by one, by action."""
    return [
        row(
            start,
            120,
            action=action,
            action_count=len(members),
            unique_users=len({_user(event) for event in members}),
            avg_value=mean(_values(members)),
            max_value=amount(max(_values(members))),
            min_value=amount(min(_values(members))),
        )
        for (start, action), members in by_window(events, 120, 60, lambda e: e.fields["action"]).items()
    ]


def user_totals(events: Iterable[SeenEvent]) -> list[Row]:
    """Five minutes sliding by one, by user."""
    return [
        row(
            start,
            300,
            user_id=user,
            event_count=len(members),
            total_value=amount(sum(_values(members))),
            avg_value=mean(_values(members)),
        )
        for (start, user), members in by_window(events, 300, 60, _user).items()
    ]


def busy_users(events: Iterable[SeenEvent]) -> list[Row]:
    """Five minutes sliding by two, users with more than 50 events."""
    return [
        row(start, 300, user_id=user, event_count=len(members), total_value=amount(sum(_values(members))))
        for (start, user), members in by_window(events, 300, 120, _user).items()
        if len(members) > BUSY
    ]
