"""What an injection is asked for, what it did, and why it may refuse."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.forms import FormError, field_hour
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


class UnknownCubeError(ValueError):
    """The stream has no cube of that name."""


class TooFewRowsError(LookupError):
    """An hour holds less than was to be damaged."""

    def __init__(self, table: str, where: str, held: int, asked: int) -> None:
        super().__init__(f"{table}, {where}, holds {held} served rows, fewer than the {asked} asked for")


class NoFreeBatchError(LookupError):
    """No batch id is valid, unused, and above the hour's certificate."""


# What the form of inject_drift can be corrected for.
USER_ERRORS = (
    FormError,
    DriftNotAllowedError,
    UnknownDriftError,
    UnknownCubeError,
    TooFewRowsError,
    NoFreeBatchError,
)


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
    """A damage to do: `size` rows, batches or records of `hour`, chosen by `chance`; cube: empty is by chance, too."""

    settings: Settings
    client: Client
    contract: Contract
    hour: datetime
    size: int
    chance: random.Random
    cube: str = ""

    @property
    def bounds(self) -> dict[str, int]:
        """Query parameters that bound a statement to the hour."""
        begin = int(self.hour.timestamp())
        return {"begin": begin, "end": begin + HOUR_SECONDS}

    @property
    def where(self) -> str:
        """The hour in words."""
        return f"hour {self.hour:%Y-%m-%d %H}:00 UTC"

    def cubes(self) -> list[Cube]:
        """Return the cubes that damage to single rows may choose from, in the order in which to try them.

        Raises:
            UnknownCubeError
        """
        cubes = self.contract.cubes
        if self.cube and self.cube not in {cube.name for cube in cubes}:
            names = ", ".join(cube.name for cube in cubes)
            raise UnknownCubeError(f"{self.contract.stream} has no cube {self.cube!r}: choose one of {names}")
        return self.chance.sample(
            [c for c in cubes if self.cube in ("", c.name)], 1 if self.cube else len(cubes)
        )

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
        FormError: not that form, or not a whole hour.
    """
    return field_hour("hour", text, "%Y-%m-%dT%H:00:00Z")
