"""The recount is an implementation of its own: what judges clean records imports nothing that the fold is made of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT

SHARED = (
    "include.contracts.classifier"  # judges, on both sides, what neither can prove clean by its own means
)
OF_THE_FOLD = {
    "include.streaming.fold",
    "include.streaming.lines",
    "include.streaming.decode",
    "include.streaming.rules",
    "include.streaming.events",
    "include.streaming.cells",
    "include.streaming.partials",
    "include.streaming.commit",
    "include.streaming.source",
    "include.streaming.driver",
    "include.streaming.job",
    "include.contracts.access_log",
    "include.contracts.records",
    "include.contracts.times",
}
CLEAN_PATH = ["include.reconcile.clean", "include.reconcile.classify", "include.reconcile.measure"]


def source_of(module: str) -> Path | None:
    path = PROJECT_ROOT.joinpath(*module.split("."))
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()), None)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of the project that a file imports anywhere, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached_from(path: Path, without: str = "") -> dict[str, str]:
    """Return each module of the project that a file imports, at any remove, and which one imports it."""
    reached: dict[str, str] = {}
    queue = [(path, path.name)]
    while queue:
        current, name = queue.pop()
        for module in imports_of(current):
            source = source_of(module)
            if source is not None and module not in reached and module != without:
                reached[module] = name
                queue.append((source, module))
    return {module: by for module, by in reached.items() if module.startswith("include.")}


@pytest.mark.parametrize("module", CLEAN_PATH)
def test_clean_records_are_judged_without_any_code_of_the_fold(module: str) -> None:
    source = source_of(module)
    assert source is not None
    reached = reached_from(source, without=SHARED)
    shared = {found: by for found, by in reached.items() if found in OF_THE_FOLD}
    assert not shared, f"{module} reaches {shared}"
    assert "include.contracts.model" in reached, "the walk finds nothing"


def test_the_recount_job_has_nothing_of_the_fold_but_the_classifier() -> None:
    reached = reached_from(PROJECT_ROOT / "jobs" / "recount.py")
    assert SHARED in reached
    only_through_the_classifier = reached_from(PROJECT_ROOT / "jobs" / "recount.py", without=SHARED)
    shared = {found: by for found, by in only_through_the_classifier.items() if found in OF_THE_FOLD}
    assert not shared, f"jobs/recount.py reaches {shared}"


def test_the_walk_sees_what_the_fold_is_made_of() -> None:
    source = source_of("include.streaming.job")
    assert source is not None
    assert reached_from(source).keys() >= OF_THE_FOLD - {"include.streaming.job"}


def test_only_the_record_by_record_part_of_the_recount_names_the_classifier() -> None:
    named = [module for module in CLEAN_PATH if SHARED in set(imports_of(source_of(module) or Path()))]
    assert named == ["include.reconcile.classify"]
