"""Judges dead letters under a contract as it is now. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from include.contracts.classifier import Classifier, Event
from include.contracts.times import hour_of
from include.replay.letters import Letter
from include.replay.originals import Missing, Place


@dataclass(frozen=True, slots=True)
class Passed:
    """A letter that the contract accepts, its value, and the hour of its event in epoch seconds."""

    letter: Letter
    value: bytes | None
    hour: int


@dataclass
class Judgement:
    """What became of letters: those that pass, and counts by (reason then, reason now) and (reason then, why not)."""

    passed: list[Passed] = field(default_factory=list)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    unjudged: Counter[tuple[str, str]] = field(default_factory=Counter)


def judge(
    classifier: Classifier, letters: Iterable[Letter], originals: Mapping[Place, bytes | Missing | None]
) -> Judgement:
    """Judge each letter by its record's value and its Kafka timestamp; one whose record is gone is not judged."""
    found = Judgement()
    for letter in letters:
        value = originals[letter.partition, letter.offset]
        if isinstance(value, Missing):
            found.unjudged[letter.reason, str(value)] += 1
            continue
        outcome = classifier.classify(value, letter.kafka_ms)
        if isinstance(outcome, Event):
            found.passed.append(Passed(letter, value, hour_of(outcome.time_us)))
        else:
            found.rejected[letter.reason, outcome.reason] += 1
    return found
