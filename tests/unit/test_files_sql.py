"""The table and the queries of files on ClickHouse's current dialect (chdb); the integration tests run them on the server."""

from __future__ import annotations

import json
import subprocess
import sys

from include.settings import PROJECT_ROOT

# chdb allows one session in a process, so this one has a process of its own.
PROGRAM = """
import json
from chdb.session import Session
from include.warehouse.sql import SQL_DIR, read_sql, split_statements

session = Session()
session.query("CREATE DATABASE files")
session.query("USE files")
for statement in split_statements((SQL_DIR / "migrations" / "0015_files.sql").read_text()):
    session.query(statement)
place = "[0, 1], [10, 20], [14, 24]"
for digest, name, state, where, started, published in (
    ("d1", "a.jsonl", "published", place, 1000, 2000),
    ("d1", "a.jsonl", "started", "[], [], []", 3000, 0),
    ("d2", "b.jsonl", "started", "[], [], []", 4000, 0),
    ("d3", "a.jsonl", "published", place, 5000, 6000),
):
    session.query(
        f"INSERT INTO files VALUES ('logs', '{digest}', '{name}', 'logs', '{state}', 90, 10, 1, 'event', {where}, "
        f"'run', {started}, {published})"
    )
known = read_sql("files/known.sql")
for name, value in (("stream", "'logs'"), ("digests", "('d2', 'd9')"), ("names", "('a.jsonl', '-')")):
    known = known.replace(f"%({name})s", value)
current = "SELECT digest, state, isNull(published_at), last_offsets FROM files_current ORDER BY digest"
for query in (known, current):
    print(session.query(query, "JSONCompact").bytes().decode().replace("\\n", ""))
"""


def test_a_later_attempt_covers_no_publication_and_files_are_found_by_bytes_or_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    known, current = (json.loads(line)["data"] for line in done.stdout.splitlines())
    assert [row[:3] for row in known] == [
        ["d2", "b.jsonl", "started"],
        ["d1", "a.jsonl", "published"],
        ["d3", "a.jsonl", "published"],
    ]
    assert [[row[0], row[1], bool(row[2])] for row in current] == [
        ["d1", "published", False],
        ["d2", "started", True],
        ["d3", "published", False],
    ]
    assert [int(offset) for offset in current[0][3]] == [14, 24]
