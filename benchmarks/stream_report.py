"""What streams.py found, told: Spark's answers, the JSON of a stream, the row for README.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyspark

from benchmarks import report
from benchmarks.asking import Answer
from benchmarks.stream_contenders import STREAM_CONTENDERS

PEERS = ("obvious", "one_view")


@dataclass(frozen=True)
class Outcome:
    """What came of one stream."""

    value_bytes: float
    answers: list[Answer]
    seconds: dict[str, list[float]]


def answers_table(stream: str, answers: Sequence[Answer]) -> str:
    """Return what Spark said to each question, one line each, with its error class."""
    lines = [f"{stream}: obvious queries, started in Spark {pyspark.__version__} in update mode"]
    for answer in answers:
        said = "runs" if answer.refusal is None else f"refused  {answer.refusal.condition}"
        lines.append(f"  {answer.question:<34} {said}")
        if answer.refusal is not None:
            lines.append(f"  {'':<34} {answer.refusal.message}")
    return "\n".join(lines)


def timings_of(outcome: Outcome, events: int) -> dict[str, report.Timing]:
    """Return the figures of each contender that ran."""
    return {name: report.timing(taken, events) for name, taken in outcome.seconds.items()}


def as_json(outcome: Outcome, events: int) -> dict[str, Any]:
    """Return the figures of one stream for the results file."""
    timings = timings_of(outcome, events)
    ratios = {peer: report.ratio(timings, "fold", peer) for peer in PEERS}
    return {
        "value_bytes": round(outcome.value_bytes, 1),
        "asked": [
            {
                "question": answer.question,
                "refused": None if answer.refusal is None else asdict(answer.refusal),
            }
            for answer in outcome.answers
        ],
        "contenders": {name: asdict(timing) for name, timing in timings.items()},
        **{f"fold_against_{peer}": found and asdict(found) for peer, found in ratios.items()},
    }


def readme_line(
    date: str, where: report.Machine, command: str, stream: str, timings: dict[str, report.Timing]
) -> str:
    """Return the row for the table of streams in README.md."""
    figures = [str(timings.get(name, "-")) for name in STREAM_CONTENDERS]
    ratios = [str(report.ratio(timings, "fold", peer) or "-") for peer in PEERS]
    return "| " + " | ".join([date, str(where), f"`{command}`", stream, *figures, *ratios]) + " |"
