"""Damages what is served, on purpose: for the demo and for tests of the proof.

Owns: which rows go, and that they are gone. Only runs where PLATFORM_ALLOW_INJECT_DRIFT is true.
Never touches the raw log, the ledger or certificates.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Cube, load_contract
from include.settings import Settings
from include.streaming.ledger import read_commit_state
from include.warehouse.client import connect
from include.warehouse.sql import read_sql

MUTATION_SECONDS = 60.0
HOUR_SECONDS = 3600


class DriftNotAllowedError(PermissionError):
    """The setting does not allow drift to be injected."""

    def __init__(self) -> None:
        super().__init__(
            "not allowed: PLATFORM_ALLOW_INJECT_DRIFT is not true; it is for demos and tests only"
        )


class TooFewRowsError(LookupError):
    """An hour serves fewer rows than were to be removed."""

    def __init__(self, table: str, where: str, held: int, asked: int) -> None:
        super().__init__(f"{table}, {where}, holds {held} served rows, fewer than the {asked} to remove")


class MutationError(RuntimeError):
    """ClickHouse did not finish the removal within MUTATION_SECONDS, or rows were left."""


@dataclass(frozen=True)
class Injection:
    """What was damaged: keys of the removed rows, and by measure the figures that went with them.

    Figures are integers at the contract's scale.
    """

    kind: str
    stream: str
    hour: str
    table: str
    where: str
    rows: int
    removed: tuple[str, ...]
    figures: Mapping[str, int]


@dataclass(frozen=True)
class _Target:
    """The served rows of one cube and hour: each row is the key columns, then the measures."""

    cube: Cube
    table: str
    keys: tuple[str, ...]
    where: str
    served: Sequence[tuple[object, ...]]


def parse_hour(text: str) -> datetime:
    """Return the hour of `YYYY-MM-DDTHH:00:00Z`.

    Raises:
        ValueError: not that form, or not a whole hour.
    """
    hour = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if hour.minute or hour.second:
        raise ValueError(f"{text} is not a whole hour: write YYYY-MM-DDTHH:00:00Z")
    return hour


def inject_lost_row(settings: Settings, stream: str, hour: datetime, rows: int, seed: int) -> Injection:
    """Remove `rows` served rows of an hour: exact rows where it is sealed, deltas where it is open.

    Raises:
        DriftNotAllowedError: the setting is off; nothing was read.
        TooFewRowsError: the hour serves fewer rows.
        MutationError: the removal did not finish; some rows may be gone.
    """
    if not settings.allow_inject_drift:
        raise DriftNotAllowedError
    chance = random.Random(seed)
    client = connect(settings)
    try:
        target = _served(client, stream, hour, chance.choice(load_contract(stream).cubes))
        if len(target.served) < rows:
            raise TooFewRowsError(target.table, target.where, len(target.served), rows)
        lost = sorted(chance.sample(list(target.served), rows), key=str)
        width = len(target.keys) + 1
        _remove(client, target, _bounds(hour), tuple(row[:width] for row in lost))
    finally:
        client.disconnect()
    measures = [measure.name for measure in target.cube.measures]
    return Injection(
        kind="lost_row",
        stream=stream,
        hour=hour.strftime("%Y-%m-%dT%H:%M:%SZ"),
        table=target.table,
        where=target.where,
        rows=rows,
        removed=tuple(_describe(row[:width], target.keys) for row in lost),
        figures={name: sum(int(str(row[width + i])) for row in lost) for i, name in enumerate(measures)},
    )


def _served(client: Client, stream: str, hour: datetime, cube: Cube) -> _Target:
    certificate = client.execute(
        read_sql("inject/certificate_in_force.sql"), {"stream": stream, "hour": int(hour.timestamp())}
    )
    if certificate:
        frontier, seal = certificate[0]
        found = client.execute(
            read_sql("inject/served_sealed.sql.j2", cube=cube),
            _bounds(hour) | {"frontier": frontier, "seal": seal},
        )
        # The certificate is part of the key, so that rows of other seals stay.
        width = 1 + len(cube.dimensions)
        rows = [(*row[:width], frontier, seal, *row[width:]) for row in found]
        where = f"hour {hour:%Y-%m-%d %H}:00 UTC, frontier {frontier}, seal {seal}"
        return _Target(cube, cube.sealed_table, (*cube.dimensions, "frontier", "seal"), where, rows)
    valid = read_commit_state(client, stream).rows
    batches = {row.batch for row in valid if int(hour.timestamp()) in map(_epoch, row.hours)}
    found = client.execute(
        read_sql("inject/served_deltas.sql.j2", cube=cube),
        _bounds(hour) | {"batches": tuple(batches) or (0,)},
    )
    where = f"hour {hour:%Y-%m-%d %H}:00 UTC, deltas of valid batches"
    return _Target(cube, cube.delta_table, (*cube.dimensions, "batch"), where, found)


def _remove(client: Client, target: _Target, bounds: Mapping[str, object], keys: tuple[object, ...]) -> None:
    """Delete the rows of these keys, wait for the mutation, and verify."""
    names = {"table": target.table, "keys": target.keys}
    values = {**bounds, "keys": keys}
    before = set(_mutations(client, target.table))
    client.execute(read_sql("inject/delete_rows.sql.j2", **names), values)
    deadline = time.monotonic() + MUTATION_SECONDS
    while True:
        ours = {name: done for name, done in _mutations(client, target.table).items() if name not in before}
        if all(ours.values()):
            break
        if time.monotonic() > deadline:
            raise MutationError(
                f"{target.table}: mutation {', '.join(ours)} not done after {MUTATION_SECONDS:.0f} s"
            )
        time.sleep(0.1)
    left = client.execute(read_sql("inject/rows_left.sql.j2", **names), values)[0][0]
    if left:
        raise MutationError(
            f"{target.table}: {left} of {len(keys)} rows are left after the mutation was done"
        )


def _mutations(client: Client, table: str) -> dict[str, bool]:
    return {
        name: bool(done) for name, done in client.execute(read_sql("inject/mutations.sql"), {"table": table})
    }


def _epoch(moment: datetime) -> int:
    """Epoch seconds of a UTC moment; ClickHouse's driver may return it without a zone."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def _bounds(hour: datetime) -> dict[str, object]:
    begin = int(hour.timestamp())
    return {"begin": begin, "end": begin + HOUR_SECONDS}


def _describe(key: tuple[object, ...], names: Sequence[str]) -> str:
    start = datetime.fromtimestamp(int(str(key[0])), UTC)
    return " ".join(
        [f"{start:%H:%M:%S}", *(f"{name}={value}" for name, value in zip(names, key[1:], strict=True))]
    )
