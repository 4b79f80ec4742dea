"""The truth of a run: the exact figures of every window and dimension, from what was sent.

Nothing of the pipeline takes part, so that an error there cannot hide here.
Owns: sums over panes. Leaves to the generator: what is counted, and which copy counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class TruthRow:
    """One window and dimension: JSON of its dimensions and of its exact figures.

    `once` counts each identity once per event hour, `came` every copy. A window that only
    a repeated identity touches has zeros in `once`: after the seal it is not served.
    """

    cube: str
    window_start: datetime
    dimensions: str
    once: str
    came: str


def tally(
    cube: str,
    pane_seconds: int,
    event_us: I64,
    group: I64,
    labels: Sequence[Mapping[str, str]],
    measures: Mapping[str, I64],
    counts_once: NDArray[np.bool_],
) -> list[TruthRow]:
    """Sum integer `measures` of accepted events per pane and group.

    Arrays have one entry per event: `event_us` epoch microseconds, `group` an index into `labels`,
    `counts_once` false for a repeated identity.
    """
    key = event_us // (pane_seconds * 1_000_000) * len(labels) + group
    keys, place = np.unique(key, return_inverse=True)
    came = {name: _sums(values, place, keys.size) for name, values in measures.items()}
    once = {name: _sums(values * counts_once, place, keys.size) for name, values in measures.items()}
    names = [json.dumps(label, sort_keys=True, separators=(",", ":")) for label in labels]
    return [
        TruthRow(
            cube=cube,
            window_start=datetime.fromtimestamp(int(k) // len(labels) * pane_seconds, UTC),
            dimensions=names[int(k) % len(labels)],
            once=_figures(once, i),
            came=_figures(came, i),
        )
        for i, k in enumerate(keys)
    ]


def _sums(values: I64, place: NDArray[np.intp], size: int) -> list[int]:
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, place, values)
    return [int(value) for value in sums]


def _figures(columns: Mapping[str, Sequence[int]], row: int) -> str:
    return json.dumps({name: values[row] for name, values in sorted(columns.items())}, separators=(",", ":"))
