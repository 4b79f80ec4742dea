"""Reads what a suite looks at, one hour of one stream, from ClickHouse into pandas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pandas as pd  # type: ignore[import-untyped]
from clickhouse_driver import Client

from include.contracts import Contract, Cube
from include.quality.served import read_served
from include.warehouse.sql import read_sql
from include.warehouse.views import served_cubes


def read_frame(client: Client, query: str, contract: Contract, hour: datetime) -> pd.DataFrame:
    """Return the rows of sql/<query> on one hour (UTC); its parameters are those of `Served`."""
    served = read_served(client, contract, hour)
    rows, columns = client.execute(
        quality_sql(query, contract, served.counted), served.parameters, with_column_types=True
    )
    return as_frame(rows, [(name, str(kind)) for name, kind in columns])


def quality_sql(query: str, contract: Contract, counted: Sequence[Cube]) -> str:
    """Return the statement of a suite's query on a stream; `counted` are the cubes whose events are counted."""
    return read_sql(query, filtered=True, cubes=served_cubes([contract]), counted=counted)


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
