"""Reads what a suite looks at, one hour of one stream, from ClickHouse into pandas."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pandas as pd  # type: ignore[import-untyped]
from clickhouse_driver import Client

from include.contracts import load_contracts
from include.quality.parameters import HOUR
from include.warehouse.sql import read_sql
from include.warehouse.views import served_cubes

CLOCK = "%Y-%m-%d %H:%M:%S"


def read_frame(client: Client, query: str, stream: str, hour: datetime) -> pd.DataFrame:
    """Return the rows of sql/<query>; its parameters are `stream`, `from` and `to` of the hour (UTC, to excluded)."""
    values = {"stream": stream, "from": hour.strftime(CLOCK), "to": (hour + HOUR).strftime(CLOCK)}
    statement = read_sql(query, filtered=True, cubes=served_cubes(load_contracts()))
    rows, columns = client.execute(statement, values, with_column_types=True)
    return as_frame(rows, [(name, str(kind)) for name, kind in columns])


def as_frame(rows: list[tuple[object, ...]], columns: list[tuple[str, str]]) -> pd.DataFrame:
    """Build a frame from rows and (name, ClickHouse type): times naive UTC, integers may be null, Decimal as float."""
    frame = pd.DataFrame(rows, columns=[name for name, _ in columns], dtype=object)
    for name, kind in columns:
        bare = kind.removeprefix("Nullable(").rstrip(")")
        if bare.startswith(("Int", "UInt")):
            frame[name] = frame[name].astype("Int64")
        elif bare.startswith(("Float", "Decimal")):
            frame[name] = (
                frame[name].map(lambda x: float(x) if isinstance(x, Decimal) else x).astype("float64")
            )
        elif bare.startswith("DateTime"):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.tz_localize(None)
    return frame
