"""From seconds to figures: medians, ratios, the table on the screen, the results file and the README's line.

Pure but for `machine` and `record`. Names no host and no path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

PRODUCT, PEER = "fold", "obvious"


@dataclass(frozen=True)
class Timing:
    """The rounds of one contender, in seconds; rates are events a second at the median and the fastest."""

    seconds: tuple[float, ...]
    median: float
    fastest: float
    slowest: float
    rate: float
    fastest_rate: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.fastest:.2f} to {self.slowest:.2f})"


@dataclass(frozen=True)
class Ratio:
    """How many times as fast the product is as its peer."""

    of_medians: float
    of_fastest: float

    def __str__(self) -> str:
        return f"{self.of_medians:.2f}x, {self.of_fastest:.2f}x"


@dataclass(frozen=True)
class Machine:
    """What the figures depend on: processor, logical cores, memory in GiB."""

    cores: int
    cpu: str
    memory_gib: int

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.cpu}, {self.memory_gib} GiB"


def timing(seconds: Sequence[float], events: int) -> Timing:
    """Return the figures of one contender's rounds."""
    middle, fastest = median(seconds), min(seconds)
    return Timing(tuple(seconds), middle, fastest, max(seconds), events / middle, events / fastest)


def ratio(timings: Mapping[str, Timing], product: str = PRODUCT, peer: str = PEER) -> Ratio | None:
    """Return product against peer, none unless both ran."""
    if product not in timings or peer not in timings:
        return None
    ours, theirs = timings[product], timings[peer]
    return Ratio(theirs.median / ours.median, theirs.fastest / ours.fastest)


def table(timings: Mapping[str, Timing], product: str = PRODUCT, peers: Sequence[str] = (PEER,)) -> str:
    """Return the aligned table of all contenders, and below it the ratio of the product to each peer."""
    lines = [
        f"{'contender':<12} {'median s':>9} {'min s':>9} {'max s':>9} {'events/s':>10} {'fastest/s':>10}"
    ]
    lines += [
        f"{name:<12} {t.median:>9.2f} {t.fastest:>9.2f} {t.slowest:>9.2f} {t.rate:>10,.0f} {t.fastest_rate:>10,.0f}"
        for name, t in timings.items()
    ]
    for peer in peers:
        found = ratio(timings, product, peer)
        if found is not None:
            lines.append(
                f"{product} against {peer}: {found.of_medians:.2f}x by median, {found.of_fastest:.2f}x fastest "
                "against fastest"
            )
    return "\n".join(lines)


def as_json(timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Return the figures for the results file."""
    found = ratio(timings)
    return {
        "contenders": {name: asdict(t) for name, t in timings.items()},
        f"{PRODUCT}_against_{PEER}": None if found is None else asdict(found),
    }


def readme_line(date: str, where: Machine, command: str, timings: Mapping[str, Timing]) -> str:
    """Return the row for the throughput table of README.md."""
    found = ratio(timings)
    figures = [str(timings.get(name, "-")) for name in (PRODUCT, PEER, "source")]
    ratios = ["-", "-"] if found is None else [f"{found.of_medians:.2f}x", f"{found.of_fastest:.2f}x"]
    return "| " + " | ".join([date, str(where), f"`{command}`", *figures, *ratios]) + " |"


def record(results: Path, command: str, figures: Mapping[str, Any]) -> tuple[str, Machine]:
    """Write the results file: command, date, machine and figures; return date and machine for the README's line."""
    date, where = datetime.now(UTC).date().isoformat(), machine()
    found = {"command": command, "date": date, "machine": asdict(where), **figures}
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return date, where


def machine(proc: Path = Path("/proc")) -> Machine:
    """Describe this machine; the processor is `unknown` where /proc does not say."""
    models = [
        line.partition(":")[2].strip()
        for line in _lines(proc / "cpuinfo")
        if line.lower().startswith("model name")
    ]
    kib = [int(line.split()[1]) for line in _lines(proc / "meminfo") if line.startswith("MemTotal")]
    return Machine(
        os.cpu_count() or 1, models[0] if models else "unknown", round(kib[0] / 2**20) if kib else 0
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
