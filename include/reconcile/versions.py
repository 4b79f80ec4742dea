"""What versions of a contract have in common: which figures a recount must fill, and which it cannot. Mostly pure.

An hour may hold records that were folded under several versions. Each is judged under its own and all
are aggregated by the loaded contract's cubes, so that a cube or measure that is new is filled from raw records.
"""

from __future__ import annotations

from collections.abc import Iterable

from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.contracts.model import DERIVED_DIMENSIONS
from include.warehouse.contract_versions import read_version


class KeptContracts:
    """The versions of one stream's contract, each read once; `current` is the one that is loaded."""

    def __init__(self, client: Client, current: Contract) -> None:
        self._client, self.current = client, current
        self._found: dict[int, Contract] = {0: current}

    def of(self, version: int) -> Contract:
        """Return a version; 0 stands for the loaded one.

        Raises:
            UnknownContractVersionError: it is neither loaded nor kept.
        """
        if version not in self._found:
            self._found[version] = read_version(self._client, self.current, version)
        return self._found[version]


def added(today: Contract, older: Contract) -> set[str]:
    """Return what an older version did not fold: `cube` where all of it is new, else `cube.measure`."""
    before = {cube.name: cube for cube in older.cubes}
    names: set[str] = set()
    for cube in today.cubes:
        if cube.name not in before:
            names.add(cube.name)
            continue
        names |= {f"{cube.name}.{m.name}" for m in cube.measures if m not in before[cube.name].measures}
    return names


def unfillable(today: Contract, older: Contract) -> list[str]:
    """Return a sentence for each reason why records of an older version have no figures in today's cubes."""
    reasons = [
        f"version {older.version} has no field {name}, by which version {today.version} tells copies apart"
        for name in today.identity
        if name not in older.fields
    ]
    before = {cube.name: cube for cube in older.cubes}
    for cube in today.cubes:
        reasons += [f"cube {cube.name}: {reason}" for reason in _cube_reasons(today, older, cube)]
        same = before.get(cube.name, cube)
        if _shape(same) != _shape(cube):
            reasons.append(
                f"cube {cube.name} has other panes or dimensions in version {older.version}: it needs a new name"
            )
    return reasons


def _shape(cube: Cube) -> tuple[object, ...]:
    return cube.pane_seconds, cube.arrival_seconds, cube.only, cube.dimensions


def _cube_reasons(today: Contract, older: Contract, cube: Cube) -> list[str]:
    reasons = []
    for name in (name for name in cube.dimensions if name not in DERIVED_DIMENSIONS):
        rule = older.fields.get(name)
        if rule is None or rule.type != "string":
            reasons.append(f"its dimension {name} is no text field of version {older.version}")
    for measure in cube.measures:
        field = measure.where.field if measure.where else measure.field
        if field is None or field not in older.fields:
            continue
        before, now = older.fields[field], today.fields[field]
        if (before.type, before.scale) != (now.type, now.scale):
            reasons.append(
                f"its measure {measure.name} has scale {now.scale}, in version {older.version} {before.scale}"
            )
    return reasons


def comparable(contract: Contract, filled: Iterable[str]) -> Contract:
    """Return the contract without the cubes and measures that the recount filled."""
    left_out = set(filled)
    cubes = []
    for cube in contract.cubes:
        measures = tuple(m for m in cube.measures if f"{cube.name}.{m.name}" not in left_out)
        if cube.name not in left_out and measures:
            cubes.append(cube.model_copy(update={"measures": measures}))
    return contract.model_copy(update={"cubes": tuple(cubes)})
