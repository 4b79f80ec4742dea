"""Renders the serving views of sql/views and the same questions with the time filter inside, sql/queries.

Owns: what the templates may ask of a cube. Leaves to others: creating the views (migrate.py), the
rules of what is served (sql/views/_served.sql.j2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from include.contracts import Contract, Cube
from include.warehouse.sql import SQL_DIR, read_sql


class ViewError(ValueError):
    """A view asks for what the contracts do not hold; the message names it."""


class UnknownCubeError(ViewError):
    """A view reads a cube that no contract has."""


@dataclass(frozen=True)
class ServedCube:
    """A cube as the views read it: `count` counts its events, `longest` is the largest delay in microseconds.

    Panes of what arrives at a moment begin at most `oldest` seconds before it and `ahead` seconds after it.
    """

    name: str
    stream: str
    pane_seconds: int
    arrival_seconds: int | None
    count: str | None
    longest: str | None
    oldest: int
    ahead: int

    def shifts(self, width: int, slide: int, filtered: bool) -> list[int]:
        """Return how many seconds before its pane's own slide each window begins that may hold the pane.

        Args:
            width: length of a window, in seconds.
            slide: seconds from one window's begin to the next one's; at most `width`.
            filtered: of a query, which multiplies its cells itself: the cells are read once.

        Raises:
            ViewError: the windows are not made of whole panes, or are not the cube's own windows of arrival.
        """
        if self.arrival_seconds is not None:
            if not self.arrival_seconds == width == slide:
                raise ViewError(
                    f"{self.name} has windows of {self.arrival_seconds} s of arrival, not {width} s"
                )
            return [0]
        if not 0 < slide <= width <= 3600 or width % self.pane_seconds or slide % self.pane_seconds:
            raise ViewError(
                f"windows of {width} s every {slide} s are not made of the panes of {self.name}, "
                f"{self.pane_seconds} s each"
            )
        return [0] if filtered else list(range(0, width, slide))


@dataclass(frozen=True)
class Cubes:
    """The cubes that views may read, by name."""

    known: dict[str, ServedCube]

    def get(self, name: str) -> ServedCube:
        """Return a cube.

        Raises:
            UnknownCubeError
            ViewError: nothing in it counts events, so that rows without any cannot be told.
        """
        if name not in self.known:
            raise UnknownCubeError(
                f"no contract has the cube {name!r}; known: {', '.join(self.known) or 'none'}"
            )
        if self.known[name].count is None:
            raise ViewError(f"{name} has no count of its events: no view can read it")
        return self.known[name]

    def streams(self, names: Iterable[str]) -> list[str]:
        """Return the streams of some cubes, each once.

        Raises:
            UnknownCubeError, ViewError: as `get` does.
        """
        return list(dict.fromkeys(self.get(name).stream for name in names))

    def of_delays(self) -> list[ServedCube]:
        """Return the cubes of arrival delays, one for each stream that has one.

        Raises:
            UnknownCubeError: there is none.
            ViewError: one of them does not count its events.
        """
        found = [self.get(cube.name) for cube in self.known.values() if cube.longest is not None]
        if not found:
            raise UnknownCubeError("no contract has a cube with the dimensions arrived and delay_ms")
        return found


def served_cubes(contracts: Sequence[Contract]) -> Cubes:
    """Return the cubes of some contracts as the views read them."""
    return Cubes({cube.name: _served(contract, cube) for contract in contracts for cube in contract.cubes})


def view_names() -> list[str]:
    """Return the views that sql/views describes, by file name alone."""
    return sorted(path.name.removesuffix(".sql.j2") for path in (SQL_DIR / "views").glob("[!_]*.sql.j2"))


def view_sql(view: str, contracts: Sequence[Contract]) -> str:
    """Return the statement that creates a view.

    Raises:
        UnknownCubeError: it reads a cube that none of these contracts has.
        ViewError: its windows do not fit the cube's panes.
        jinja2.TemplateNotFound: there is no such view.
    """
    return read_sql(f"views/{view}.sql.j2", filtered=False, cubes=served_cubes(contracts))


def _served(contract: Contract, cube: Cube) -> ServedCube:
    longest = [m.name for m in cube.measures if m.kind == "max" and m.field == "delay_us"]
    by_delay = {"arrived", "delay_ms"} <= set(cube.dimensions) and len(longest) == 1
    return ServedCube(
        name=cube.name,
        stream=contract.stream,
        pane_seconds=cube.pane_seconds,
        arrival_seconds=cube.arrival_seconds,
        count=cube.plain_count,
        longest=longest[0] if by_delay else None,
        oldest=contract.maximum_age_hours * 3600 + cube.pane_seconds,
        ahead=contract.skew_seconds,
    )
