"""Traffic generators, one module per stream, found by the stream's name.

A stream brings its generator as `include/traffic/<stream>.py` with one function `draw`.
Owns: what a generator is and where it is found. Leaves to others: when a record is sent and
what is wrong with it (schedule.py, faults.py), sending (send.py), storing the truth (store.py).
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

from include.traffic.incidents import IncidentFacts
from include.traffic.schedule import Schedule
from include.traffic.tally import TruthRow


class Traffic(Protocol):
    """The drawn records of one run; record i is the i-th of its schedule."""

    def values(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka values of records [first, end)."""

    def truth(self) -> list[TruthRow]:
        """Return what every window and dimension must come to."""


@runtime_checkable
class Keyed(Protocol):
    """Traffic whose records have Kafka keys, which choose their partitions."""

    def keys(self, first: int, end: int) -> list[bytes]:
        """Return the Kafka keys of records [first, end)."""


@runtime_checkable
class Eventful(Protocol):
    """Traffic that an incident may lie in."""

    @property
    def incident_facts(self) -> IncidentFacts | None:
        """What goes wrong and which alerts must follow; none in a calm run."""


class Generator(Protocol):
    """What a stream's generator module offers."""

    def draw(self, schedule: Schedule, run_number: int, seed: int) -> Traffic:
        """Draw the content of a run; `run_number` (below 2^32) keeps ids of different runs apart."""


class UnknownGeneratorError(ValueError):
    """A stream has no generator module."""


def generator_for(stream: str) -> Generator:
    """Return the generator of `stream`.

    Raises:
        UnknownGeneratorError: there is no module of that name with a function `draw`.
    """
    if stream in {module.name for module in pkgutil.iter_modules(__path__)}:
        module = import_module(f"{__name__}.{stream}")
        if hasattr(module, "draw"):
            return cast(Generator, module)
    raise UnknownGeneratorError(
        f"stream {stream!r} has no traffic generator: add include/traffic/{stream}.py with a function draw"
    )
