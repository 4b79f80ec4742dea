"""Reads dead letters that count and that no batch has replayed, page by page, and keeps what was approved.

A dead letter is valid, as a delta is, when its batch is. Who judges letters is judge.py, who folds
them the driver (include/streaming/replays.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts.classifier import REASONS
from include.streaming.ledger import read_position, validity
from include.warehouse.sql import read_sql

PAGE_LETTERS = 10_000
LAST_MS = (2**32 - 1) * 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its payload; kafka_ms is epoch milliseconds, sha256 is of all payload_bytes."""

    partition: int
    offset: int
    kafka_ms: int
    reason: str
    payload_bytes: int
    sha256: str


@dataclass(frozen=True)
class Choice:
    """Which dead letters a person chose: reasons, and Kafka times [from_ms, to_ms) in epoch milliseconds."""

    reasons: tuple[str, ...] = REASONS
    from_ms: int = -1
    to_ms: int = LAST_MS

    def values(self) -> dict[str, object]:
        """Return the parameters of the query."""
        days = {"from_day": _day(self.from_ms), "to_day": _day(self.to_ms)}
        return {"reasons": list(self.reasons), "from_ms": self.from_ms, "to_ms": self.to_ms, **days}


def chosen(client: Client, stream: str, version: int, choice: Choice) -> Iterator[list[Letter]]:
    """Yield the valid dead letters of a choice that are neither replayed nor approved under a contract version."""
    at = (0, 0)
    while page := _page(client, stream, version, at, PAGE_LETTERS, choice):
        yield page
        at = (page[-1].partition, page[-1].offset + 1)


def approved(client: Client, stream: str, version: int, at: tuple[int, int]) -> list[Letter]:
    """Return the next valid dead letters from (partition, offset) on that are approved and not replayed."""
    return _page(client, stream, version, at, PAGE_LETTERS, None)


def approvals_mark(client: Client, stream: str, version: int) -> tuple[object, ...]:
    """Return what changes whenever letters are approved under a contract version."""
    values = {"stream": stream, "version": version}
    return tuple(client.execute(read_sql("replay/approvals_mark.sql"), values)[0])


def approve(client: Client, stream: str, version: int, run: str, letters: Sequence[Letter]) -> None:
    """Approve letters for the driver to fold; approving one again changes nothing but the run."""
    now = datetime.now(UTC)
    if letters:
        client.execute(
            "INSERT INTO replay_approvals (stream, partition, record_offset, contract_version, run, approved_at) VALUES",
            [(stream, letter.partition, letter.offset, version, run, now) for letter in letters],
        )


def approved_by(client: Client, stream: str, run: str) -> int:
    """Return how many letters a run has approved."""
    return int(client.execute(read_sql("replay/approved_by.sql"), {"stream": stream, "run": run})[0][0])


def folded(client: Client, stream: str, run: str) -> dict[datetime, int]:
    """Return how many of the letters that a run approved valid batches have folded, by event hour."""
    rows = client.execute(
        read_sql("replay/folded.sql.j2"), {"stream": stream, "run": run, **_limits(client, stream)}
    )
    return {hour.replace(tzinfo=UTC): letters for hour, letters in rows}


def _page(
    client: Client, stream: str, version: int, at: tuple[int, int], most: int, choice: Choice | None
) -> list[Letter]:
    values = {
        "stream": stream,
        "version": version,
        "partition": at[0],
        "offset": at[1],
        "most": most,
        **_limits(client, stream),
        **({} if choice is None else choice.values()),
    }
    statement = read_sql("replay/letters.sql.j2", approved=choice is None)
    return [Letter(*row) for row in client.execute(statement, values)]


def _limits(client: Client, stream: str) -> dict[str, list[int]]:
    return validity(read_position(client, stream).keep)


def _day(ms: int) -> int:
    """Return the day since 1970 under which commit.py files a Kafka time."""
    return min(max(ms, 0), LAST_MS) // 86_400_000
