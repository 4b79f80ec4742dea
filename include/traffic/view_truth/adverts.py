"""The view of advertising events."""

from __future__ import annotations

from collections.abc import Iterable

from include.traffic.view_truth.windows import Row, SeenEvent, amount, by_window, mean, row


def ad_events_aggregated(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, by event type, country and format."""
    names = ("event_type", "country", "ad_format")
    rows = []
    for (start, labels), members in by_window(
        events, 60, 60, lambda event: tuple(event.fields[name] for name in names)
    ).items():
        revenue = [event.fields["revenue"] for event in members]
        rows.append(
            row(
                start,
                60,
                **dict(zip(names, labels, strict=True)),
                event_count=len(members),
                avg_revenue=mean(revenue),
                total_revenue=amount(sum(revenue)),
            )
        )
    return rows
