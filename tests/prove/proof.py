"""Plays rounds on a stream until enough faults and clean hours were judged, or one of them fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyspark.sql import SparkSession

from tests.prove.checks import UNDONE, Outcome, judge_round
from tests.prove.rounds import Prover
from tests.prove.seen import Seen
from tests.prove.stage import open_stage

log = logging.getLogger(__name__)

MOST_ROUNDS = 40


@dataclass(frozen=True)
class Size:
    """How much to do: faults and clean hours at least, hours of traffic, of them sealed first, new ones a round."""

    faults: int = 200
    clean_hours: int = 200
    hours: int = 90
    sealed: int = 50
    new_hours: int = 10
    reopened: int = 8
    faults_a_round: int = 40
    events_an_hour: int = 200

    def shared(self, streams: int) -> Size:
        """Return what each of so many streams does of it; rounds stay as large as they are."""
        return replace(self, faults=-(-self.faults // streams), clean_hours=-(-self.clean_hours // streams))


@dataclass
class Proof:
    """What came of all rounds on a stream."""

    stream: str
    outcomes: list[Outcome] = field(default_factory=list)
    clean_hours: int = 0
    refused: int = 0
    rounds: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Faults of which something was left to be found, or to be counted."""
        return sum(outcome.fate != UNDONE for outcome in self.outcomes)

    def add(self, seen: Seen) -> None:
        """Judge a round and add what came of it."""
        judged = judge_round(seen)
        self.outcomes += judged.outcomes
        self.clean_hours += judged.clean_hours
        self.refused += len(seen.refused)
        self.failures += [f"{self.stream}, round {seen.number}: {failure}" for failure in judged.failures]
        if judged.failures:
            self.failures += [
                f"{self.stream}, round {seen.number} had {fault}; {seen.accounts[fault.number]}"
                for fault in seen.faults
            ]
        log.info(
            "%s, round %d: %d faults, %d clean hours, %d failures",
            *(self.stream, seen.number, len(judged.outcomes), judged.clean_hours, len(judged.failures)),
        )


def prove_streams(spark: SparkSession, size: Size, seed: int, streams: Sequence[str]) -> list[Proof]:
    """Share the size among streams and prove one after the other; a failure of one leaves the others."""
    share = size.shared(len(streams))
    return [prove(spark, share, seed, stream) for stream in streams]


def prove(spark: SparkSession, size: Size, seed: int, stream: str) -> Proof:
    """Play rounds on one stream, on a stage of its own, until enough was judged or one of them fails."""
    proof = Proof(stream)
    with open_stage(spark, stream) as stage:
        chance = random.Random(f"{seed}/{stream}/traffic")
        stage.send_hours(chance, size.hours, size.events_an_hour)
        log.info("%s: %d hours of traffic in %d ledger rows", stream, size.hours, len(stage.ledger()))
        prover = Prover(stage, f"{seed}/{stream}")
        proof.add(prover.seal_first(size.sealed))
        while not proof.failures and proof.rounds < MOST_ROUNDS:
            missing = size.faults - proof.done
            if missing <= 0 and proof.clean_hours >= size.clean_hours:
                return proof
            hours = min(size.hours, size.sealed + size.new_hours * (proof.rounds + 1))
            proof.rounds += 1
            count = max(0, min(size.faults_a_round, missing))
            proof.add(prover.play(proof.rounds, hours, count, size.reopened))
    if not proof.failures:
        proof.failures.append(
            f"{stream}: {MOST_ROUNDS} rounds were not enough: {proof.done} faults, {proof.clean_hours} clean hours"
        )
    return proof
