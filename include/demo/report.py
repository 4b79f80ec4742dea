"""The report that ends `make demo`: figures from the platform, as JSON and on the screen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from include.demo.streams import VERIFIED, HourLine, StreamBalance, StreamReport


@dataclass(frozen=True)
class Drift:
    """What was damaged on purpose and what became of it."""

    kind: str
    caught: bool
    verdict: str
    proved_again: bool
    damage: str
    found: str


@dataclass(frozen=True)
class LatencySeconds:
    """From the producer's send to the event first seen in the served view."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Report:
    """All that the demo saw."""

    streams: dict[str, StreamReport]
    drift: Drift
    latency: LatencySeconds
    set_up_seconds: float
    total_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the document of .local/demo-report.json."""
        return {
            "streams": {
                stream: asdict(found.balance)
                | {"batches": found.batches, "rejected_by": found.rejected_by, "hours_proved": found.proved}
                | {"cells_compared": found.truth.compared, "cells_unequal": found.truth.unequal}
                for stream, found in self.streams.items()
            },
            "hours": [asdict(line) for line in self._hours()],
            "drift": {k: v for k, v in asdict(self.drift).items() if k not in ("damage", "found")},
            "truth": {
                "compared": sum(found.truth.compared for found in self.streams.values()),
                "unequal": sum(found.truth.unequal for found in self.streams.values()),
            },
            "latency_seconds": {"p50": round(self.latency.p50, 3), "p99": round(self.latency.p99, 3)},
            "seconds": {"set_up": round(self.set_up_seconds, 1), "total": round(self.total_seconds, 1)},
        }

    def faults(self) -> list[str]:
        """Return what is not as it must be, a sentence each; empty when all is well."""
        faults = [
            f"{line.stream} {line.hour} is {line.verdict}"
            for line in self._hours()
            if line.verdict not in (*VERIFIED, "OPEN")
        ]
        for stream, found in self.streams.items():
            truth = found.truth
            if found.balance.unexplained:
                faults.append(f"{stream}: {found.balance.unexplained} offsets unexplained")
            if not found.proved:
                faults.append(f"{stream}: no hour was proved")
            if truth.unequal or not truth.compared:
                faults.append(
                    f"{stream}: {truth.unequal} of {truth.compared} cells differ from what was sent"
                )
                faults += [f"  {example}" for example in truth.examples]
        if not (self.drift.caught and self.drift.verdict == "REPAIRED" and self.drift.proved_again):
            faults.append(f"the damage was not caught, repaired and proved again: {self.drift}")
        return faults

    def as_text(self) -> str:
        """Return the report as aligned lines."""
        lines = [
            "",
            "Balance             " + "".join(f"{name:>12}" for name in StreamBalance.__annotations__),
        ]
        for stream, found in self.streams.items():
            figures = asdict(found.balance).values()
            lines.append(f"  {stream:<18}" + "".join(f"{figure:>12,}" for figure in figures))
        lines += [
            "",
            f"{'Stream':<20}{'batches':>8}{'hours proved':>14}{'cells compared':>16}{'unequal':>9}  rejected by reason",
        ]
        for stream, found in self.streams.items():
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.rejected_by.items())
            lines.append(
                f"  {stream:<18}{found.batches:>8,}{found.proved:>14,}{found.truth.compared:>16,}"
                f"{found.truth.unequal:>9,}  {reasons or 'none'}"
            )
        lines += ["", f"{'Hour':<38}{'verdict':<12}{'offsets':>12}{'windows':>10}"]
        lines += [
            f"  {h.stream:<14}{h.hour:<22}{h.verdict:<12}{h.offsets:>12,}{h.windows:>10,}"
            for h in self._hours()
        ]
        drift = self.drift
        lines += [
            "",
            f"Damage      {drift.kind}: {'caught' if drift.caught else 'NOT CAUGHT'}, {drift.verdict}, "
            f"{'proved again' if drift.proved_again else 'NOT PROVED AGAIN'}",
            f"            done: {drift.damage}",
            f"            found: {drift.found}",
            f"Latency     send to visible in the view: p50 {self.latency.p50:.2f} s, p99 {self.latency.p99:.2f} s",
            f"Time        {self.set_up_seconds:.0f} s to set up, {self.total_seconds:.0f} s in all",
        ]
        return "\n".join(lines)

    def _hours(self) -> list[HourLine]:
        return [line for found in self.streams.values() for line in found.hours]
