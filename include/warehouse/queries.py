"""The questions of the views with the time filter inside, for servers that push no filter into a view."""

from __future__ import annotations

from include.contracts import load_contracts
from include.warehouse.sql import read_sql
from include.warehouse.views import served_cubes


def query_sql(view: str) -> str:
    """Return the rows of a view whose window_start is in [from, to), as a query with these two parameters.

    The parameters `%(from)s` and `%(to)s` are text, `YYYY-MM-DD HH:MM:SS` in UTC; for views by Kafka time they
    bound the window of arrival. Only the partitions and index ranges of that time are read.

    Raises:
        jinja2.TemplateNotFound: there is no such view.
    """
    return read_sql(f"queries/{view}.sql.j2", filtered=True, cubes=served_cubes(load_contracts()))
