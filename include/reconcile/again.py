"""What the raw log gives for a certificate's offset ranges now, and what its sealed rows are now. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clickhouse_driver import Client
from pyspark.sql import SparkSession

from include.contracts import Contract, Cube
from include.reconcile import balance, compare
from include.reconcile.candidates import sealed_rows, stored
from include.reconcile.certificate import certified_balance
from include.reconcile.document import Balance, CertificateDocument, OffsetSpan
from include.reconcile.measure import Cell, Measurement, measure
from include.reconcile.ranges import join
from include.reconcile.reading import read_ranges
from include.reconcile.recount import other_versions
from include.reconcile.store import bounds
from include.reconcile.types import OffsetRange, Replayed, Segment, as_utc, epoch, from_epoch
from include.settings import Settings
from include.warehouse.sql import read_sql

Key = tuple[str, int, tuple[str | int, ...]]  # cube, window in epoch seconds, dimensions
Values = tuple[tuple[int, ...], tuple[int, ...]]  # once, as they came


@dataclass(frozen=True)
class Again:
    """What the raw log gives. balance has no ledger behind it: its ledger_non_records are 0.

    id_reused is what these ranges show. torn: partitions in which not each record that was read was judged once.
    """

    cells: Mapping[Key, Values]
    events: int
    events_as_they_came: int
    id_reused: int
    digest: str
    balance: tuple[Balance, ...]
    torn: tuple[int, ...] = ()

    @property
    def windows(self) -> int:
        """Windows with a cell."""
        return _windows(self.cells)


@dataclass(frozen=True)
class Sealed:
    """The sealed rows of a certificate as they are now."""

    cubes: Mapping[str, Cube]
    cells: Mapping[Key, Values]
    digest: str

    @property
    def windows(self) -> int:
        """Windows with a cell."""
        return _windows(self.cells)

    def differences(self, again: Again, most: int) -> list[str]:
        """Return a sentence for each of the first cells that are not what the raw log gives."""
        keys = sorted(
            key
            for key in self.cells.keys() | again.cells.keys()
            if self.cells.get(key) != again.cells.get(key)
        )
        lines = [
            f"{self._name(key)}: sealed {self._text(key, self.cells)}, raw log {self._text(key, again.cells)}"
            for key in keys[:most]
        ]
        return lines + ([f"and {len(keys) - most} further cells"] if len(keys) > most else [])

    def _name(self, key: Key) -> str:
        cube, window, dimensions = key
        named = zip(self.cubes[cube].dimensions, dimensions, strict=True)
        return " ".join(
            [f"{cube} {from_epoch(window):%Y-%m-%d %H:%M:%S}", *(f"{name}={value}" for name, value in named)]
        )

    def _text(self, key: Key, cells: Mapping[Key, Values]) -> str:
        if key not in cells:
            return "nothing"
        once, came = cells[key]
        names = [item.name for item in self.cubes[key[0]].measures]
        return " ".join(
            f"{name}={figure} (came {other})" for name, figure, other in zip(names, once, came, strict=True)
        )


def _windows(cells: Mapping[Key, Values]) -> int:
    return len({(cube, window) for cube, window, _ in cells})


def recounted_again(
    spark: Callable[[], SparkSession],
    settings: Settings,
    client: Client,
    contract: Contract,
    document: CertificateDocument,
) -> Again:
    """Read exactly the offset ranges of a certificate and count them anew."""
    hour = epoch(document.hour)
    segments = sorted(
        (_segment(item) for item in document.offset_ranges),
        key=lambda segment: segment.range,
    )
    measured = Measurement([], [], [])
    if segments:
        reads = join(segment.range for segment in segments)
        records = read_ranges(spark(), settings, contract.topic.name, reads)
        measured = measure(records, contract, segments, [hour], other_versions(client, contract, segments))
    cells = [cell for cell in measured.cells if cell.hour == hour]
    counts = [count for count in measured.counts if count.hour == hour]
    found = balance.by_segment(segments, measured.delivered, measured.counts)
    balances = balance.balances(hour, [found[segment.range] for segment in segments])
    return Again(
        {(cell.cube, cell.window, cell.dimensions): (cell.once, cell.came) for cell in cells},
        sum(count.once for count in counts),
        sum(count.records for count in counts),
        sum(count.id_reused for count in counts),
        _digest(client, contract, cells),
        tuple(certified_balance(item) for item in balances),
        tuple(item.partition for item in balances if not item.is_whole),
    )


def _segment(item: OffsetSpan) -> Segment:
    span = OffsetRange(item.partition, item.start, item.end)
    replayed = (
        Replayed(found.offset, epoch(found.hour), found.batch, found.contract_version)
        for found in item.replayed
    )
    return Segment(span, 0, 0, 0, 0, {}, item.contract_version, tuple(replayed))


def _digest(client: Client, contract: Contract, cells: list[Cell]) -> str:
    """Have ClickHouse digest rows that the query brings along, as it digests sealed rows."""
    parts = []
    for cube in contract.cubes:
        own = [cell for cell in cells if cell.cube == cube.name]
        if own:
            statement = read_sql("reconcile/digest_of.sql.j2", cube=cube, table="recounted")
            rows = client.execute(statement, external_tables=[_external(cube, own)])
            parts.append(f"{cube.name}={rows[0][0]}")
    return " ".join(parts)


def _external(cube: Cube, cells: list[Cell]) -> dict[str, Any]:
    structure = [("window_start", "DateTime('UTC')"), *cube.dimension_types.items()]
    for item in cube.measures:
        structure += [(item.name, item.clickhouse_type), (f"came_{item.name}", item.clickhouse_type)]
    names = [name for name, _ in structure]
    data = [
        dict(
            zip(
                names,
                [
                    from_epoch(cell.window),
                    *stored(cube, cell.dimensions),
                    *(figure for pair in zip(cell.once, cell.came, strict=True) for figure in pair),
                ],
                strict=True,
            )
        )
        for cell in cells
    ]
    return {"name": "recounted", "structure": structure, "data": data}


def sealed_now(client: Client, contract: Contract, document: CertificateDocument) -> Sealed:
    """Read the sealed rows of a certificate; none when they were compacted away."""
    hour = as_utc(document.hour)
    cells: dict[Key, Values] = {}
    for cube in contract.cubes:
        rows = sealed_rows(client, cube, document.frontier, document.seal, bounds(hour))
        cells |= {(cube.name, *key): values for key, values in rows.items()}
    digest = compare.digest_of(client, contract, hour, document.frontier, document.seal)
    return Sealed({cube.name: cube for cube in contract.cubes}, cells, digest)
