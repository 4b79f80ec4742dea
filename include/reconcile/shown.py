"""How a differing cell is shown to people, in a run's log and in the question of an approval."""

from __future__ import annotations

from include.reconcile.types import Difference


def cell_lines(stream: str, cell: Difference) -> list[str]:
    """Return two lines: window, dimensions and kind of a cell, and its figures as integers at the contract's scale."""
    expected, served = unlike(cell.expected, cell.served)
    drift = f" ({cell.drift})" if cell.drift else ""
    return [
        f"{stream} {cell.window_start:%Y-%m-%d %H:%M} {cell.dimensions}: {cell.kind}{drift}",
        f"  expected {expected or 'nothing'}, served {served or 'nothing'}",
    ]


def unlike(expected: str, served: str) -> tuple[str, str]:
    """Return both sides of a cell with the figures that differ; all of them where a side has none."""
    if not (expected and served):
        return expected, served
    pairs = [
        (one, other) for one, other in zip(expected.split(), served.split(), strict=True) if one != other
    ]
    return " ".join(one for one, _ in pairs), " ".join(other for _, other in pairs)
