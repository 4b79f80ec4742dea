"""What an injection is asked for, what it did, and why it may refuse."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_driver import Client

from include.contracts import Contract
from include.settings import Settings
from include.streaming.ledger import CommitState, read_commit_state

HOUR_SECONDS = 3600


class DriftNotAllowedError(PermissionError):
    """The setting does not allow drift to be injected."""

    def __init__(self) -> None:
        super().__init__(
            "not allowed: PLATFORM_ALLOW_INJECT_DRIFT is not true; it is for demos and tests only"
        )


class UnknownDriftError(ValueError):
    """There is no drift of that name."""


class TooFewRowsError(LookupError):
    """An hour holds less than was to be damaged."""

    def __init__(self, table: str, where: str, held: int, asked: int) -> None:
        super().__init__(f"{table}, {where}, holds {held} served rows, fewer than the {asked} asked for")


class NoFreeBatchError(LookupError):
    """No batch id is valid, unused, and above the hour's certificate."""


@dataclass(frozen=True)
class Injection:
    """What was damaged: keys of the touched rows, and by measure the figures on them.

    Figures are integers at the contract's scale.
    """

    kind: str
    stream: str
    hour: str
    table: str
    where: str
    rows: int
    touched: tuple[str, ...]
    figures: Mapping[str, int]


@dataclass(frozen=True)
class Order:
    """A damage to do: `size` rows, batches or records of `hour`, chosen by `chance`."""

    settings: Settings
    client: Client
    contract: Contract
    hour: datetime
    size: int
    chance: random.Random

    @property
    def bounds(self) -> dict[str, int]:
        """Query parameters that bound a statement to the hour."""
        begin = int(self.hour.timestamp())
        return {"begin": begin, "end": begin + HOUR_SECONDS}

    @property
    def where(self) -> str:
        """The hour in words."""
        return f"hour {self.hour:%Y-%m-%d %H}:00 UTC"

    def ledger(self) -> CommitState:
        """Return takeovers and valid ledger rows."""
        return read_commit_state(self.client, self.contract.stream)

    def done(
        self, kind: str, table: str, where: str, touched: list[str], figures: Mapping[str, int]
    ) -> Injection:
        """Return the account of this order."""
        hour = self.hour.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Injection(
            *(kind, self.contract.stream, hour, table, where, len(touched), tuple(touched), dict(figures))
        )


Injector = Callable[[Order], Injection]


def parse_hour(text: str) -> datetime:
    """Return the hour of `YYYY-MM-DDTHH:00:00Z`.

    Raises:
        ValueError: not that form, or not a whole hour.
    """
    hour = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if hour.minute or hour.second:
        raise ValueError(f"{text} is not a whole hour: write YYYY-MM-DDTHH:00:00Z")
    return hour
