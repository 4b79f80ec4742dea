"""Reads and writes what a run knows of an hour (table `reconciliations`) and certificates in force."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from clickhouse_driver import Client

from include.reconcile.types import (
    HOUR,
    Answer,
    Certificate,
    Difference,
    Differences,
    HourPlan,
    Judgement,
    OffsetRange,
    PartitionBalance,
    Recounted,
    Replayed,
    Segment,
    as_utc,
    epoch,
    from_epoch,
)
from include.warehouse.sql import read_sql

PLAN, RECOUNT, VERDICT = "plan", "recount", "verdict"
ASKED, ANSWER = "asked", "answer"
PUBLISHED = "published"
SERVED = "served"  # of the document that notes a question
FIRST_HOUR, LAST_HOUR = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def text(moment: datetime) -> str:
    """Return a moment as ClickHouse reads it in UTC."""
    return f"{as_utc(moment):%Y-%m-%d %H:%M:%S}"


def bounds(hour: datetime) -> dict[str, str]:
    """Return the query parameters that bound a statement to an hour."""
    return {"from": text(hour), "to": text(hour + HOUR)}


def certificates(
    client: Client, stream: str, first: datetime = FIRST_HOUR, end: datetime = LAST_HOUR
) -> dict[datetime, Certificate]:
    """Return the certificate in force of each certified hour in [first, end)."""
    rows = client.execute(
        read_sql("reconcile/certificates.sql"), {"stream": stream, "from": text(first), "to": text(end)}
    )
    return {as_utc(hour): Certificate(frontier, seal, digest) for hour, frontier, seal, digest in rows}


def certificate_versions(
    client: Client, stream: str, first: datetime = FIRST_HOUR, end: datetime = LAST_HOUR
) -> dict[tuple[datetime, int, int], int]:
    """Return the contract version of each certificate of the hours in [first, end), by (hour, frontier, seal).

    It is 0 where the certificate names none.
    """
    rows = client.execute(
        read_sql("reconcile/certificate_versions.sql"),
        {"stream": stream, "from": text(first), "to": text(end)},
    )
    return {(as_utc(hour), frontier, seal): version for hour, frontier, seal, version in rows}


def balance_starts(client: Client, plan: HourPlan, base: Certificate) -> dict[int, int]:
    """Return the first offset that an hour's certificate counted in each partition."""
    rows = client.execute(
        read_sql("reconcile/balance_ranges.sql"),
        {"stream": plan.stream, "seal": base.seal, **bounds(plan.hour)},
    )
    spans = {partition: json.loads(ranges) for partition, ranges in rows}
    return {partition: min(low for low, _ in found) for partition, found in spans.items() if found}


def _write(client: Client, step: str, plan: HourPlan, document: dict[str, Any]) -> None:
    base = plan.base or Certificate(0, 0, "")
    client.execute(
        "INSERT INTO reconciliations (run, stream, hour, step, seal, generation, frontier, base_frontier, base_seal, "
        "document, written_at) VALUES",
        [
            (
                *(plan.run, plan.stream, plan.hour, step, plan.seal, plan.generation, plan.frontier),
                *(base.frontier, base.seal, json.dumps(document, default=_jsonable), datetime.now(UTC)),
            )
        ],
    )


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        return epoch(value)
    raise TypeError(f"{type(value).__name__} does not go into a document")


def write_plans(client: Client, plans: Iterable[HourPlan]) -> None:
    """Record the plans of a run."""
    for plan in plans:
        _write(client, PLAN, plan, asdict(plan))


def write_recount(client: Client, plan: HourPlan, recounted: Recounted) -> None:
    """Record what the recount found for an hour."""
    _write(client, RECOUNT, plan, asdict(recounted))


def write_judgement(client: Client, plan: HourPlan, judgement: Judgement) -> None:
    """Record the verdict of an hour; it is final once the seal step inserts it."""
    _write(client, VERDICT, plan, asdict(judgement))


def write_asked(client: Client, plan: HourPlan, served: str) -> None:
    """Record that the repair of an hour waits for a person; served: what it looks like now, as in rejected.py."""
    _write(client, ASKED, plan, {SERVED: served})


def write_answer(client: Client, plan: HourPlan, answer: Answer) -> None:
    """Record what a person said to the repair of an hour."""
    _write(client, ANSWER, plan, asdict(answer))


def read_answers(client: Client, run: str) -> dict[tuple[str, datetime], Answer | None]:
    """Return what was said of each hour of a run whose repair was asked for; None while nobody has answered."""
    found: dict[tuple[str, datetime], Answer | None] = dict.fromkeys(
        key for key, _ in _read(client, run, ASKED)
    )
    return found | {key: Answer(**document) for key, document in _read(client, run, ANSWER)}


def waiting_hours(client: Client, stream: str, since: datetime) -> frozenset[datetime]:
    """Return the hours of a stream whose repair was asked for since a moment and has no answer."""
    rows = client.execute(read_sql("reconcile/waiting.sql"), {"stream": stream, "since": text(since)})
    return frozenset(as_utc(hour) for (hour,) in rows)


def _read(client: Client, run: str, step: str) -> list[tuple[tuple[str, datetime], dict[str, Any]]]:
    rows = client.execute(read_sql("reconcile/step.sql"), {"run": run, "step": step})
    return [((row[0], as_utc(row[1])), json.loads(row[7])) for row in rows]


def read_plans(client: Client, run: str) -> list[HourPlan]:
    """Return the plans of a run by stream and hour."""
    plans = []
    for (_, hour), found in _read(client, run, PLAN):
        segments = tuple(
            Segment(
                **{
                    **segment,
                    "range": OffsetRange(**segment["range"]),
                    "hours": {int(key): events for key, events in segment["hours"].items()},
                    "replayed": tuple(Replayed(**item) for item in segment.get("replayed", ())),
                }
            )
            for segment in found["segments"]
        )
        base = Certificate(**found["base"]) if found["base"] else None
        texts = {name: tuple(found.get(name, ())) for name in ("findings", "filled")}
        plans.append(HourPlan(**{**found, "hour": hour, "base": base, "segments": segments, **texts}))
    return plans


def read_recounts(client: Client, run: str) -> dict[tuple[str, datetime], Recounted]:
    """Return what the recount of a run found, by (stream, hour)."""
    result = {}
    for key, found in _read(client, run, RECOUNT):
        balances = tuple(
            PartitionBalance(**{**item, "ranges": tuple((low, high) for low, high in item["ranges"])})
            for item in found["balances"]
        )
        result[key] = Recounted(**{**found, "balances": balances, "findings": tuple(found["findings"])})
    return result


def read_judgements(client: Client, run: str) -> dict[tuple[str, datetime], Judgement]:
    """Return the verdicts of a run, by (stream, hour)."""
    result = {}
    for key, found in _read(client, run, VERDICT):
        differences = found["differences"]
        cells = tuple(
            Difference(**{**cell, "window_start": from_epoch(cell["window_start"])})
            for cell in differences["cells"]
        )
        result[key] = Judgement(
            found["verdict"],
            found["reason"],
            Differences(**{**differences, "cells": cells}),
            tuple(found["drifts"]),
        )
    return result
