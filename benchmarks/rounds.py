"""Rounds of contenders: each once unmeasured, then once a round, in random order, each run checked.

Owns: order, repetition and what is told meanwhile. Leaves to others: the work and the check.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

log = logging.getLogger("benchmarks.rounds")


class Runnable(Protocol):
    """What may run again and again; `run` returns seconds."""

    name: str

    def run(self) -> float: ...


R = TypeVar("R", bound=Runnable)


def measure(
    contenders: Sequence[R], events: int, rounds: int, seed: int, check_run: Callable[[R], None]
) -> dict[str, list[float]]:
    """Return the seconds of each contender's rounds, after one unmeasured run of each.

    `check_run` is called after each run and raises when the contender did not do its work.
    """
    order = random.Random(seed)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    runs, done = (rounds + 1) * len(contenders), 0
    for number in range(rounds + 1):
        label = f"round {number}" if number else "warm-up"
        for contender in order.sample(contenders, len(contenders)):
            done += 1
            log.info("run %s of %s: %s, %s", done, runs, label, contender.name)
            taken = contender.run()
            check_run(contender)
            log.info("%-9s %-12s %7.2f s %10.0f events/s", label, contender.name, taken, events / taken)
            if number:
                seconds[contender.name].append(round(taken, 3))
    return seconds
