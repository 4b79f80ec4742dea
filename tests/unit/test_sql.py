"""The files under sql/: split into statements, rendered strictly, numbered without holes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest

from include.contracts import load_contracts
from include.warehouse.queries import query_sql
from include.warehouse.sql import SQL_DIR, read_sql, split_statements
from include.warehouse.views import view_names, view_sql
from tests.helpers import ad_events

FILES = sorted(SQL_DIR.rglob("*.sql*"))

# A view's statement and that of its query.
RENDERS = (lambda view: view_sql(view, load_contracts()), query_sql)


def test_statements_end_at_a_semicolon_at_the_end_of_a_line() -> None:
    text = "-- purpose; of all;\nSELECT 1;\n\nSELECT ';',\n  2 ;\n-- the end;\n"
    assert split_statements(text) == ["-- purpose; of all;\nSELECT 1", "SELECT ';',\n  2 "]


def test_a_last_statement_needs_no_semicolon() -> None:
    assert split_statements("-- one\nSELECT 1;\n-- two\nSELECT 2\n") == ["-- one\nSELECT 1", "SELECT 2"]


@pytest.mark.parametrize("text", ["", "\n\n", "-- only a comment;\n"])
def test_a_file_without_a_statement_gives_none(text: str) -> None:
    assert split_statements(text) == []


def test_an_identifier_that_was_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        read_sql("cubes/delta.sql.j2")


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        read_sql("cubes/none.sql.j2")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SQL_DIR)))
def test_every_file_begins_with_a_line_that_says_its_purpose(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if not line.startswith("{%"))
    assert re.match(r"(--|\{#-?) \S", first), f"{path.relative_to(SQL_DIR)} begins with {first!r}"


def test_migrations_are_numbered_from_one_without_a_hole() -> None:
    names = sorted(path.name for path in (SQL_DIR / "migrations").iterdir())
    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1)), names
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in names), names


def test_migrations_can_be_applied_again_after_a_failure_half_way() -> None:
    for path in (SQL_DIR / "migrations").glob("*.sql"):
        for statement in split_statements(path.read_text(encoding="utf-8")):
            body = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
            assert re.match(r"(CREATE \w+ IF NOT EXISTS|ALTER|DROP \w+ IF EXISTS)", body), (
                f"{path.name}: {body[:60]}"
            )


@pytest.mark.parametrize("render", RENDERS)
@pytest.mark.parametrize("view", view_names())
def test_certificates_and_takeovers_are_read_once(view: str, render: Callable[[str], str]) -> None:
    statement = render(view)
    for table in ("certificates", "takeovers"):
        reads = re.findall(
            rf"FROM {table}\s+WHERE (stream = '\w+'|stream IN \('\w+', '\w+', '\w+'\))", statement
        )
        assert len(reads) == len(re.findall(rf"\b{table}\b", statement)) == 1


@pytest.mark.parametrize("render", RENDERS)
@pytest.mark.parametrize("view", view_names())
def test_only_sealed_rows_are_asked_whether_they_hold_events(view: str, render: Callable[[str], str]) -> None:
    reads = re.findall(r"FROM \w+_(sealed FINAL|delta)(\s+WHERE \w+ > 0)?", render(view))
    assert {kind: bool(asked) for kind, asked in reads} == {"sealed FINAL": True, "delta": False}
    assert len(set(reads)) == 2


def test_cube_tables_name_every_dimension_and_measure_of_the_contract() -> None:
    cube = ad_events().cubes[0]
    for template in ("cubes/delta.sql.j2", "cubes/sealed.sql.j2"):
        columns = re.findall(r"^    (\w+) ", read_sql(template, cube=cube), flags=re.MULTILINE)
        wanted = {"window_start", *cube.dimensions, *(measure.name for measure in cube.measures)}
        assert wanted <= set(columns), f"{template}: {sorted(wanted - set(columns))} is not a column"


def test_no_action_holds_the_separator_of_a_panes_actions() -> None:
    actions = [c.fields["action"].allowed for c in load_contracts() if c.stream == "user_events"]
    assert len(actions) == 1
    assert actions[0], "any text would be an action"
    assert not [action for action in actions[0] if "\n" in str(action)]
