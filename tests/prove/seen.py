"""What was seen in one round: the types that rounds.py fills and checks.py judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.prove.draw import Fault

# Of every cube: (window, cube, JSON of its dimensions) -> (status, figures by name).
Cells = dict[tuple[object, ...], tuple[object, ...]]
View = dict[datetime, Cells]


@dataclass(frozen=True)
class Verdict:
    """What a run says of an hour, and the classes of drift that it names."""

    verdict: str
    reason: str
    drifts: tuple[str, ...]


@dataclass
class Seen:
    """All that was seen in a round. The maps are by hour.

    reached: hours whose figures or ledger rows a fault changed before the run, theirs or not; reached_during: between
    its steps. first, second, third: the verdicts of three runs, the third only of what the second did not prove.
    """

    number: int
    hours: list[datetime]
    faults: list[Fault] = field(default_factory=list)
    accounts: dict[int, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    reached: set[datetime] = field(default_factory=set)
    reached_during: set[datetime] = field(default_factory=set)
    first: dict[datetime, Verdict] = field(default_factory=dict)
    second: dict[datetime, Verdict] = field(default_factory=dict)
    third: dict[datetime, Verdict] = field(default_factory=dict)
    truth: View = field(default_factory=dict)
    after_first: View = field(default_factory=dict)
    after_all: View = field(default_factory=dict)
