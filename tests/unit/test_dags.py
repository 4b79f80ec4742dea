"""Every DAG file, loaded as Airflow's DAG processor would: each in a fork of a process that has imported Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for path in (ROOT / "dags").rglob("*.py") if path.name != "__init__.py")
# The DAG processor imports every file again and again: what a task needs is imported inside the task.
HEAVY = ("pyspark", "great_expectations", "pandas", "pyarrow", "confluent_kafka", "clickhouse_driver")
IMPORT_SECONDS = 20.0
MAX_LINES = 80

LOADER = """
import importlib.util, json, os, sys, time, traceback
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag

def load(path):
    began = time.perf_counter()
    spec = importlib.util.spec_from_file_location("dag_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seconds = time.perf_counter() - began
    heavy = [name for name in sys.argv[1].split(",") if name in sys.modules]
    bag = DagBag(path, collect_dags=True)
    return {
        "seconds": seconds,
        "heavy": heavy,
        "errors": list(bag.import_errors.values()),
        "module_doc": module.__doc__ or "",
        "dags": [
            {
                "dag_id": dag.dag_id,
                "doc_md": dag.doc_md or "",
                "tags": sorted(dag.tags),
                "params": {name: bool(param.schema.get("title")) for name, param in dag.params._ParamsDict__dict.items()}
                if hasattr(dag.params, "_ParamsDict__dict") else {},
                "blank": [
                    name
                    for name in dag.params
                    for param in [dag.params.get_param(name)]
                    if param.value == "" and not param.schema.get("enum") and "null" not in param.schema.get("type", ())
                ],
                "tasks": [
                    {"task_id": task.task_id, "owner": task.owner, "retries": task.retries} for task in dag.tasks
                ],
            }
            for dag in bag.dags.values()
        ],
    }

for path in sys.argv[2:]:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    try:
        print("RESULT" + json.dumps({"path": path} | load(path)), flush=True)
    except BaseException:
        print(f"{path} cannot be loaded:", file=sys.stderr)
        traceback.print_exc()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[Path, dict[str, Any]], str]:
    """What each file held that could be loaded, and what was said of the others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PLATFORM_"))}
    env |= {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADER, ",".join(HEAVY), *map(str, FILES)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    found = [json.loads(line.removeprefix("RESULT")) for line in lines]
    return {Path(result["path"]): result for result in found}, done.stderr[-3000:]


@pytest.fixture(scope="module", params=FILES, ids=lambda path: str(path.relative_to(ROOT / "dags")))
def loaded(request: pytest.FixtureRequest, results: tuple[dict[Path, dict[str, Any]], str]) -> dict[str, Any]:
    found, said = results
    assert request.param in found, said
    return {**found[request.param], "path": request.param}


def test_there_are_dags() -> None:
    assert FILES, f"no DAG file under {ROOT / 'dags'}"


def test_a_file_holds_one_dag_of_its_own_name(loaded: dict[str, Any]) -> None:
    assert loaded["errors"] == []
    assert [dag["dag_id"] for dag in loaded["dags"]] == [loaded["path"].stem]
    assert "_" in loaded["path"].stem, f"{loaded['path'].name} is not named verb_noun"


def test_parsing_imports_nothing_heavy(loaded: dict[str, Any]) -> None:
    assert loaded["heavy"] == [], f"{loaded['path'].name} imports {loaded['heavy']} when it is parsed"
    assert loaded["seconds"] < IMPORT_SECONDS


def test_the_docstring_is_the_page_in_the_ui_and_ends_in_triage(loaded: dict[str, Any]) -> None:
    (dag,) = loaded["dags"]
    assert "Triage" in loaded["module_doc"], f"{dag['dag_id']} has no Triage section"
    assert dag["doc_md"].strip() == loaded["module_doc"].strip()


def test_tasks_have_an_owner_and_the_dag_has_tags(loaded: dict[str, Any]) -> None:
    (dag,) = loaded["dags"]
    assert dag["tags"], f"{dag['dag_id']} has no tags"
    assert {task["owner"] for task in dag["tasks"]} == {"platform"}


def test_retries_are_few(loaded: dict[str, Any]) -> None:
    (dag,) = loaded["dags"]
    many = {task["task_id"]: task["retries"] for task in dag["tasks"] if task["retries"] > 2}
    assert many == {}, f"{dag['dag_id']}: a failure that does not pass is retried {many}"


def test_setting_up_launching_and_damaging_are_not_retried(loaded: dict[str, Any]) -> None:
    (dag,) = loaded["dags"]
    if dag["dag_id"] in {
        "prepare_platform",
        "launch_stream",
        "stop_stream",
        "restart_stream",
        "inject_drift",
    }:
        assert {task["task_id"]: task["retries"] for task in dag["tasks"] if task["retries"]} == {}


def test_each_parameter_of_the_trigger_form_has_a_title(loaded: dict[str, Any]) -> None:
    (dag,) = loaded["dags"]
    assert [name for name, titled in dag["params"].items() if not titled] == []


def test_a_field_that_may_stay_empty_takes_null(loaded: dict[str, Any]) -> None:
    """The form sends null for an empty field, and its button stays grey where null is refused."""
    (dag,) = loaded["dags"]
    assert dag["blank"] == []


def test_a_dag_file_stays_short(loaded: dict[str, Any]) -> None:
    lines = len(loaded["path"].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{loaded['path'].name} has {lines} lines: move work to include/"
