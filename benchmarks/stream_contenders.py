"""The contenders over user events and logs: the fold with every cube, and the obvious job with a query for each view.

Owns: one timed run of each, and the counts that it then serves. Leaves to others: what Spark can run (asking.py),
what was sent (view_counts.py), order and figures (streams.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from clickhouse_driver import Client
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import DataStreamWriter

from benchmarks.asking import parsed, query_frame
from benchmarks.contenders import Contender, FoldContender, SourceContender
from benchmarks.view_counts import VIEWS, Counts, View
from benchmarks.workload import SQL, FilledTopic
from include.settings import Settings
from include.warehouse.client import connect
from include.warehouse.queries import query_sql

HOUR = timedelta(hours=1)
TYPES = {
    "int": "Int64",
    "bigint": "Int64",
    "double": "Nullable(Float64)",
    "string": "String",
    "array<string>": "Array(String)",
    "array<bigint>": "Array(Int64)",
}
# The view that is most like the one of advertising events: small windows, few subjects, all records counted.
ALONE = {"user_events": "action_metrics", "logs": "response_times"}


@dataclass(frozen=True)
class StreamWorkload(FilledTopic):
    """A filled topic, the sender's counts by view, and the obvious query of each view that Spark can run."""

    sent: dict[str, Counts]
    runs: dict[str, str]

    @property
    def views(self) -> tuple[View, ...]:
        """All views of the stream."""
        return VIEWS[self.contract.stream]


class CountedFold(FoldContender):
    """The product; its views are read by the queries that dashboards use, hour by hour."""

    workload: StreamWorkload

    def counts(self) -> dict[str, Counts]:
        """Return what each view serves."""
        return {view.name: self._counts(view) for view in self.workload.views}

    def _counts(self, view: View) -> Counts:
        source = query_sql(view.name).rstrip().rstrip(";")
        if view.name == "arrival_delay":
            source = f"SELECT * FROM ({source}) WHERE stream = '{self.workload.contract.stream}'"
        starts = [start for counts in self.workload.sent.values() for start in counts]
        hour = datetime.fromtimestamp(min(starts) // 3600 * 3600, UTC)
        found: Counts = {}
        while hour.timestamp() <= max(starts):
            bounds = {"from": f"{hour:%Y-%m-%d %H:%M:%S}", "to": f"{hour + HOUR:%Y-%m-%d %H:%M:%S}"}
            found |= _read_counts(self.client, f"({source})", view.count, bounds)
            hour += HOUR
        return found


class ObviousViews(Contender):
    """One query for each view, as people write them, side by side; each reads and parses the topic for itself."""

    name = "obvious"
    alone = False
    workload: StreamWorkload

    def __init__(self, spark: SparkSession, workload: StreamWorkload, max_offsets: int) -> None:
        super().__init__(spark, workload, max_offsets)
        wanted = {ALONE[workload.contract.stream]} if self.alone else workload.runs.keys()
        self.views = [view for view in workload.views if view.name in wanted & workload.runs.keys()]
        self.tables = tuple(view.table for view in self.views)
        self._clients = {view.name: connect(workload.settings) for view in self.views}

    def writers(self) -> dict[str, DataStreamWriter]:
        contract, runs = self.workload.contract, self.workload.runs
        return {
            view.name: query_frame(self._spark, contract, self.records(), runs[view.name])
            .writeStream.outputMode("update")
            .foreachBatch(partial(self._store, view))
            for view in self.views
        }

    def _store(self, view: View, rows: DataFrame, batch: int) -> None:
        table = rows.toArrow()
        columns = [*(column.to_pylist() for column in table.columns), [batch] * table.num_rows]
        if table.num_rows:
            statement = f"INSERT INTO {view.table} ({', '.join(table.column_names)}, batch) VALUES"
            self._clients[view.name].execute(statement, columns, columnar=True)

    def counts(self) -> dict[str, Counts]:
        """Return what each table serves."""
        return {
            view.name: _read_counts(self.client, f"{view.table} FINAL", view.count, {}) for view in self.views
        }

    def close(self) -> None:
        for client in self._clients.values():
            client.disconnect()
        super().close()


class OneView(ObviousViews):
    """The obvious job with one view alone."""

    name = "one_view"
    alone = True


class ParsedContender(Contender):
    """Source and parsing alone: the ceiling of an obvious job that would parse once for all its views."""

    name = "parsed"

    def write(self, records: DataFrame) -> DataStreamWriter:
        return parsed(self.workload.contract, records).writeStream.format("noop")


STREAM_CONTENDERS: dict[str, type[Contender]] = {
    kind.name: kind for kind in (CountedFold, ObviousViews, OneView, ParsedContender, SourceContender)
}


def create_tables(
    spark: SparkSession, settings: Settings, workload: StreamWorkload, records: DataFrame
) -> None:
    """Create the obvious job's tables, with the columns of its queries over `records`."""
    client = connect(settings)
    for view in workload.views:
        if view.name in workload.runs:
            frame = query_frame(spark, workload.contract, records, workload.runs[view.name])
            columns = {name: TYPES[kind] for name, kind in frame.dtypes if name != "window_start"}
            client.execute(_render("obvious_view.sql.j2", table=view.table, columns=columns, per=view.per))
    client.disconnect()


def _read_counts(client: Client, source: str, count: str, parameters: dict[str, str]) -> Counts:
    rows = client.execute(_render("counts.sql.j2", source=source, count=count), parameters)
    return {start: (found, int(total)) for start, found, total in rows}


def _render(name: str, **values: object) -> str:
    environment = Environment(loader=FileSystemLoader(SQL), undefined=StrictUndefined)
    return environment.get_template(name).render(**values)
