"""JSON values to raw columns, as many at once as decode; the others are named by their positions.

What decodes obeys the contract's types and bounds by record_type; rules.py asks the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import attrgetter

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.contracts.classifier import BROKEN, DEEPEST_NESTING, too_deep

SLICE = 2_000  # records decoded at once: their objects stay in the processor's cache, which halves the time


def decode(
    decoder: Callable[[bytes], msgspec.Struct], values: pa.Array, kinds: dict[str, pa.DataType]
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Return raw columns of the values that decode, in order, and the positions of those that do not."""
    parts: dict[str, list[pa.Array]] = {name: [pa.array([], kind)] for name, kind in kinds.items()}
    failed: list[int] = []
    for start in range(0, len(values), SLICE):
        decoded: list[msgspec.Struct] = []
        broken: list[int] = []
        queue = iter(values.slice(start, SLICE).to_pylist())
        while True:
            try:
                decoded.extend(map(decoder, queue))  # keeps what came before a failure
                break
            except BROKEN:
                broken.append(start + len(decoded) + len(broken))
        failed += broken
        for name, kind in kinds.items():
            parts[name].append(pa.array(list(map(attrgetter(name), decoded)), kind))
    return {name: pa.concat_arrays(part) for name, part in parts.items()}, np.array(failed, np.int64)


def suspects(values: pa.Array) -> set[int]:
    """Return the positions of values that the decoder would not see to be broken, or must not be given."""
    found: set[int] = set()
    try:
        values.cast(pa.string())  # checks all bytes; the decoder looks only into strings that it keeps
    except pa.ArrowInvalid:
        found |= {
            i for i, value in enumerate(values.to_pylist()) if value is not None and not _is_utf8(value)
        }
    for i in np.flatnonzero(pc.greater(pc.binary_length(values), 2 * DEEPEST_NESTING).fill_null(False)):
        if too_deep(values[int(i)].as_py()):
            found.add(int(i))
    if values.null_count:
        found |= set(np.flatnonzero(values.is_null()).tolist())
    return found


def without(count: int, positions: Collection[int] | np.ndarray) -> np.ndarray:
    """Return the positions below count that are not among these, in order."""
    kept = np.ones(count, bool)
    kept[list(positions)] = False
    return np.flatnonzero(kept)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
