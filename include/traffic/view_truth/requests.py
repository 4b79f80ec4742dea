"""The views of service logs. An absent user is no user, an absent address no address."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from include.traffic.view_truth.windows import Row, SeenEvent, amount, by_window, mean, percent, row

ERROR = 400
SECOND = 1_000_000


def _service(event: SeenEvent) -> str:
    return str(event.fields["service"])


def _times(events: Iterable[SeenEvent]) -> list[int]:
    """Return the response times that are there, in microseconds."""
    return [e.fields["response_time"] for e in events if e.fields["response_time"] is not None]


def _errors(events: Iterable[SeenEvent]) -> int:
    return sum(event.fields["status_code"] >= ERROR for event in events)


def _distinct(events: Iterable[SeenEvent], name: str) -> list[str]:
    return sorted({event.fields[name] for event in events} - {""})


def sample_deviation(micros: Sequence[int]) -> float | None:
    """Return the sample standard deviation in seconds of times rounded to milliseconds; none below two."""
    if len(micros) < 2:
        return None
    millis = [round(Fraction(figure, 1000)) for figure in micros]
    middle = Fraction(sum(millis), len(millis))
    return math.sqrt(sum((figure - middle) ** 2 for figure in millis) / (len(millis) - 1)) / 1000


def response_times(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, by service."""
    rows = []
    for (start, service), members in by_window(events, 60, 60, _service).items():
        times = _times(members)
        rows.append(
            row(
                start,
                60,
                service=service,
                request_count=len(members),
                avg_response_time=mean(times),
                max_response_time=amount(max(times)) if times else None,
                min_response_time=amount(min(times)) if times else None,
                stddev_response_time=sample_deviation(times),
            )
        )
    return rows


def error_rates(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, by service."""
    return [
        row(
            start,
            60,
            service=service,
            total_requests=len(members),
            error_count=_errors(members),
            error_rate=percent(_errors(members), len(members)),
        )
        for (start, service), members in by_window(events, 60, 60, _service).items()
    ]


def ip_patterns(events: Iterable[SeenEvent]) -> list[Row]:
    """Five minutes, by address."""
    return [
        row(
            start,
            300,
            ip_address=address,
            request_count=len(members),
            unique_users=len(_distinct(members, "user_id")),
            services_used=len(_distinct(members, "service")),
            services=_distinct(members, "service"),
        )
        for (start, address), members in by_window(events, 300, 300, lambda e: e.fields["ip_address"]).items()
        if address
    ]


def sla(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, by service: availability of all requests, performance of those with a response time."""
    rows = []
    for (start, service), members in by_window(events, 60, 60, _service).items():
        times = _times(members)
        successful = sum(event.fields["status_code"] == 200 for event in members)
        fast = sum(figure <= SECOND for figure in times)
        rows.append(
            row(
                start,
                60,
                service=service,
                availability_percent=percent(successful, len(members)),
                performance_percent=percent(fast, len(times)),
                fast_requests=fast,
                successful_requests=successful,
            )
        )
    return rows


def log_user_activity(events: Iterable[SeenEvent]) -> list[Row]:
    """Five minutes, by user."""
    return [
        row(
            start,
            300,
            user_id=user,
            activity_count=len(members),
            services_used=len(_distinct(members, "service")),
            avg_response_time=mean(_times(members)),
        )
        for (start, user), members in by_window(events, 300, 300, lambda e: e.fields["user_id"]).items()
        if user
    ]


def service_popularity(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, by service."""
    return [
        row(
            start,
            60,
            service=service,
            request_count=len(members),
            unique_users=len(_distinct(members, "user_id")),
        )
        for (start, service), members in by_window(events, 60, 60, _service).items()
    ]


def system_health(events: Iterable[SeenEvent]) -> list[Row]:
    """One minute, all services together."""
    rows = []
    for (start, _), members in by_window(events, 60, 60, lambda _: "").items():
        rate = Fraction(100 * _errors(members), len(members))
        rows.append(
            row(
                start,
                60,
                total_requests=len(members),
                active_services=len(_distinct(members, "service")),
                active_users=len(_distinct(members, "user_id")),
                avg_response_time=mean(_times(members)),
                error_rate=rate,
                health_score=100 if rate < 1 else 80 if rate < 5 else 60 if rate < 10 else 40,
            )
        )
    return rows
