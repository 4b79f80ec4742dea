"""Each view over the last hour, with 30 days behind it: its query on the server, and the view itself on chdb.

The last hour is the dearest to serve: nothing of it is sealed, and it came in a batch a second. On the server
the filter is inside the query, as dashboards ask; on chdb, whose ClickHouse is a current one, around the view.
A question without rows ends the run: its speed would say nothing. Machines differ more than versions of a question
do: `--save` keeps the queries and views of one version, `--against` asks them beside those of another, on the same rows.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from chdb.session import Session

from benchmarks import report
from benchmarks.filled_views import fill, last_hour
from benchmarks.flatness import percentile
from include.contracts import load_contracts
from include.logs import configure_logging
from include.settings import get_settings
from include.warehouse.client import connect
from include.warehouse.migrate import prepare_warehouse, schema_statements
from include.warehouse.queries import query_sql
from include.warehouse.views import view_names, view_sql

log = logging.getLogger("benchmarks.views")

RESULTS = Path(__file__).parent / "results" / "views.json"
TARGET_MS = 100.0
WARM_RUNS = 5  # a current ClickHouse compiles what it has met a few times, once for the life of its process
SHOWN = 1000  # rows: what a dashboard's table takes; all have to be computed for it
SAVED = "saved_"  # before the name of another version's view


class NoRowsError(RuntimeError):
    """A question that finds nothing says nothing of its speed."""


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one view, and the rows that it gave."""

    p50: float
    p99: float
    rows: int


class Engine:
    """A filled database: `run` executes a statement, `count` returns how many rows a query gives."""

    def __init__(self, run: Callable[[str], object], count: Callable[[str], int]) -> None:
        self.run, self.count = run, count


@contextmanager
def server() -> Iterator[Engine]:
    """A database of its own on the platform's ClickHouse, dropped at the end."""
    own = get_settings().model_copy(update={"clickhouse_database": f"benchmark_{uuid.uuid4().hex[:12]}"})
    prepare_warehouse(own)
    client = connect(own, answer_seconds=1800)
    try:
        yield Engine(client.execute, lambda query: len(client.execute(query)))
    finally:
        client.execute(f"DROP DATABASE {own.clickhouse_database}")
        client.disconnect()


@contextmanager
def embedded(saved: Path | None = None) -> Iterator[Engine]:
    """A database of chdb on this machine's disk, removed at the end; the saved views stand in it as SAVED + name."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(folder)
        session.query("CREATE DATABASE benchmark")
        session.query("USE benchmark")
        for statement in schema_statements(cube for contract in load_contracts() for cube in contract.cubes):
            session.query(statement)
        for view in view_names():
            session.query(view_sql(view, load_contracts()))
        for path in saved_files(saved, "views"):
            text = path.read_text(encoding="utf-8")
            session.query(text.replace(f"CREATE VIEW {path.stem} AS", f"CREATE VIEW {SAVED}{path.stem} AS"))
        try:
            yield Engine(session.query, lambda query: str(session.query(query, "TSV")).count("\n"))
        finally:
            session.close()


def save(folder: Path) -> None:
    """Write each view and its query to folders of a folder."""
    for kind, render in (("queries", query_sql), ("views", lambda view: view_sql(view, load_contracts()))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for view in view_names():
            (folder / kind / f"{view}.sql").write_text(render(view), encoding="utf-8")


def saved_files(folder: Path | None, kind: str) -> list[Path]:
    """Return what `save` wrote of a kind, queries or views; nothing of no folder."""
    return sorted((folder / kind).glob("*.sql")) if folder else []


def questions(begin: datetime, inside: bool, saved: Path | None = None) -> dict[str, str]:
    """Return each view's question for the hour that begins at a moment, the filter inside it or around it.

    A query is ordered as it stands: 18.16 would analyse all of it again for a SELECT around it.

    Args:
        saved: folder of another version, to be asked as well; its views are in the database already.
    """
    bounds = {
        name: f"'{moment:%Y-%m-%d %H:%M:%S}'"
        for name, moment in (("from", begin), ("to", begin + timedelta(hours=1)))
    }
    around = (
        "SELECT * FROM {} WHERE window_start >= toDateTime(%(from)s, 'UTC')"
        " AND window_start < toDateTime(%(to)s, 'UTC')"
    )
    asked = {view: query_sql(view) if inside else around.format(view) for view in view_names()}
    for path in saved_files(saved, "queries" if inside else "views"):
        old = path.read_text(encoding="utf-8") if inside else around.format(SAVED + path.stem)
        asked[f"{path.stem} (saved)"] = old
    return {
        view: f"{query % bounds} ORDER BY window_start DESC LIMIT {SHOWN}" for view, query in asked.items()
    }


def measure(engine: Engine, asked: dict[str, str], runs: int, seed: int) -> dict[str, Speed]:
    """Time every question `runs` times, in random order, after WARM_RUNS of each that are not measured."""
    rows = {view: engine.count(query) for _ in range(WARM_RUNS) for view, query in asked.items()}
    if empty := [view for view, count in rows.items() if not count]:
        raise NoRowsError(f"no rows of {', '.join(empty)}: nothing to time")
    milliseconds: dict[str, list[float]] = {view: [] for view in asked}
    order = random.Random(seed)
    for _ in range(runs):
        for view in order.sample(sorted(asked), len(asked)):
            start = perf_counter()
            engine.count(asked[view])
            milliseconds[view].append((perf_counter() - start) * 1000)
    return {
        view: Speed(round(median(found), 1), round(percentile(found, 0.99), 1), rows[view])
        for view, found in milliseconds.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 where a p99 is above the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--days", type=int, default=30, help="sealed days behind the last hour")
    parser.add_argument("--share", type=float, default=1.0, help="of the generators' typical load")
    parser.add_argument("--runs", type=int, default=100, help="measured runs of each view")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the runs")
    parser.add_argument("--engines", nargs="+", choices=("server", "chdb"), default=["server", "chdb"])
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, JSON")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write queries and views there, and end")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="ask those that --save wrote, too")
    given = parser.parse_args(arguments)
    configure_logging()
    if given.save:
        save(given.save)
        return 0
    if given.against and not saved_files(given.against, "queries"):
        parser.error(f"--against: no saved query in {given.against}")
    begin = last_hour(datetime.now(UTC))
    found: dict[str, dict[str, Speed]] = {}
    for name in given.engines:
        with server() if name == "server" else embedded(given.against) as engine:
            start = perf_counter()
            written = fill(engine.run, given.days, begin, given.share)
            log.info("%s: %s rows in %.0f s", name, f"{written:,}", perf_counter() - start)
            asked = questions(begin, name == "server", given.against)
            found[name] = measure(engine, asked, given.runs, given.seed)
        print(table(name, found[name]))
    command = f"python -m benchmarks.views --days {given.days} --share {given.share} --runs {given.runs}"
    if given.against:
        command += f" --against {given.against.name}"
    speeds = {name: {view: asdict(speed) for view, speed in views.items()} for name, views in found.items()}
    report.record(given.results, command, {"views": speeds})
    slow = [
        f"{name} {view}" for name, views in found.items() for view, s in views.items() if s.p99 > TARGET_MS
    ]
    print(f"above {TARGET_MS:.0f} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


def table(engine: str, views: dict[str, Speed]) -> str:
    """Return the aligned table of one engine, the slowest first."""
    ordered = sorted(views.items(), key=lambda item: -item[1].p99)
    width = max(22, *map(len, views))
    lines = [f"{engine:<{width}} {'p50 ms':>8} {'p99 ms':>8} {'rows':>8}"]
    return "\n".join(lines + [f"{v:<{width}} {s.p50:>8.1f} {s.p99:>8.1f} {s.rows:>8,}" for v, s in ordered])


if __name__ == "__main__":
    sys.exit(main())
