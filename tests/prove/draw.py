"""Draws faults by chance: class, hour, size and moment. Pure: the same chance gives the same faults."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

UNSEALED, REOPENED, SEALED = "unsealed", "reopened", "sealed"
# When a fault happens: before a run, or between two of its steps.
BEFORE, PLANNED, RECOUNTED, JUDGED = "before", "planned", "recounted", "judged"
DURING = (PLANNED, RECOUNTED, JUDGED)
SHARE_DURING = 0.2

OF_DELTAS = ("lost_batch", "doubled_batch", "stale_driver")  # need deltas that no certificate includes
OF_ROWS = ("lost_row", "doubled_row", "altered_figure", "wrong_window")
OF_LEDGER = ("ledger_gap", "ledger_overlap")
OF_RECORDS = ("late_event", "duplicate_events")
# Nothing of these is served: void rows, or real records, which count.
HARMLESS = ("stale_driver", *OF_RECORDS)
LARGEST = {"lost_batch": 2, "doubled_batch": 1, "stale_driver": 2, "ledger_gap": 2, "ledger_overlap": 1}
LARGEST_OTHER = 6


@dataclass(frozen=True)
class Fault:
    """A damage to do. `state` is that of its hour, `when` the moment, `seed` chooses the place within the hour."""

    number: int
    kind: str
    hour: datetime
    state: str
    when: str
    size: int
    seed: int

    def __str__(self) -> str:
        return (
            f"fault {self.number}: {self.kind} of size {self.size} in {self.state} hour {self.hour:%Y-%m-%dT%H}, "
            f"{self.when if self.when == BEFORE else 'when the run was ' + self.when}, seed {self.seed}"
        )


def kinds_for(state: str) -> tuple[str, ...]:
    """Return the classes that an hour of this state can suffer."""
    everywhere = (*OF_ROWS, *OF_LEDGER, *OF_RECORDS)
    return everywhere if state == SEALED else (*OF_DELTAS, *everywhere)


def draw_faults(chance: random.Random, states: Mapping[datetime, str], count: int, first: int) -> list[Fault]:
    """Return up to `count` faults, each in an hour of its own, numbered from `first`.

    Rare states come first, so that each round has faults before a seal and after one.
    """
    rare = [hour for hour in sorted(states) if states[hour] != SEALED]
    common = [hour for hour in sorted(states) if states[hour] == SEALED]
    chosen = chance.sample(rare, min(len(rare) * 2 // 3, count))
    chosen += chance.sample(common, min(len(common) * 2 // 3, count - len(chosen)))
    return [draw_fault(chance, hour, states[hour], first + at) for at, hour in enumerate(chosen)]


def draw_fault(
    chance: random.Random, hour: datetime, state: str, number: int, refused: Sequence[str] = ()
) -> Fault:
    """Return a fault of a class that was not refused for this hour."""
    kind = chance.choice([kind for kind in kinds_for(state) if kind not in refused])
    when = chance.choice(DURING) if chance.random() < SHARE_DURING else BEFORE
    size = chance.randint(1, LARGEST.get(kind, LARGEST_OTHER))
    return Fault(number, kind, hour, state, when, size, chance.randrange(2**32))
