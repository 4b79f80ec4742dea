"""When memory counts as flat: what a fitted line says of its growth after a warm-up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, mean

WARM_UP_SHARE, WARM_UP_SECONDS = 1 / 3, 300.0
GROWTH_SHARE, GROWTH_MIB = 0.10, 16.0


@dataclass(frozen=True)
class Flatness:
    """Resident MiB after the warm-up: mean, and the fitted growth over the seconds that were judged."""

    mean: float
    growth: float
    seconds: float
    is_flat: bool

    def __str__(self) -> str:
        hourly = self.growth / self.seconds * 3600 if self.seconds else 0.0
        return f"{self.mean:7.0f} MiB, {self.growth:+6.1f} MiB in {self.seconds:.0f} s ({hourly:+.0f} MiB an hour)"


def flatness(points: Sequence[tuple[float, float]]) -> Flatness:
    """Judge (second, MiB) samples of one process.

    The first third of the run, at most five minutes, is warm-up: heaps grow to their size. Of the rest
    a least-squares line is fitted; flat means that it rises by at most 10 % of the mean and 16 MiB.

    Raises:
        ValueError: fewer than three samples are left after the warm-up.
    """
    length = points[-1][0] - points[0][0] if points else 0.0
    begin = min(length * WARM_UP_SHARE, WARM_UP_SECONDS)
    judged = [(second, mib) for second, mib in points if second - points[0][0] >= begin]
    if len(judged) < 3:
        raise ValueError(f"{len(judged)} samples after the warm-up of {begin:.0f} s: let the run last longer")
    seconds, values = zip(*judged, strict=True)
    span = seconds[-1] - seconds[0]
    growth = linear_regression(seconds, values).slope * span
    middle = mean(values)
    return Flatness(round(middle, 1), round(growth, 1), span, growth <= GROWTH_SHARE * middle + GROWTH_MIB)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    place = max(0, -int(-share * len(ordered) // 1) - 1)
    return ordered[place]
