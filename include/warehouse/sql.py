"""Reads the SQL files under sql/ and fills in identifiers; values are always query parameters."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.settings import PROJECT_ROOT

SQL_DIR = PROJECT_ROOT / "sql"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(SQL_DIR), undefined=StrictUndefined, keep_trailing_newline=False
    )


def read_sql(path: str, **identifiers: object) -> str:
    """Return the statement of a file under sql/, e.g. "reconcile/compare.sql.j2".

    `identifiers` are contract objects or names taken from contracts, which check them. Every
    path is rendered, so a literal percent sign in LIKE is doubled only where parameters are used.

    Raises:
        jinja2.UndefinedError: the template needs an identifier that was not given.
        jinja2.TemplateNotFound: there is no such file.
    """
    return _environment().get_template(path).render(**identifiers)


def render_sql(text: str, **identifiers: object) -> str:
    """Return a statement whose text is given; it may include and import files under sql/.

    Raises:
        jinja2.TemplateError: the text is no template, or needs what was not given.
    """
    return _environment().from_string(text).render(**identifiers)


def split_statements(text: str) -> list[str]:
    """Return the statements of a file, which end with a semicolon at the end of a line."""
    statements, lines = [], []
    for line in text.splitlines():
        lines.append(line)
        if line.rstrip().endswith(";") and not line.lstrip().startswith("--"):
            statements.append("\n".join(lines).strip().rstrip(";"))
            lines = []
    rest = "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("--"))
    return statements + ([rest] if rest else [])
