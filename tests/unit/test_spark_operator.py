"""The command lines and environments that spark-submit is started with, seen by a stand-in binary."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from include.settings import PROJECT_ROOT, get_settings
from include.spark.submission import (
    MissingJarsError,
    connector_jars,
    job_environment,
    streams_of,
    submit_environment,
)

PASSWORD = "not-for-command-lines"
# The provider takes this name from the connection; the environment's own spark-submit stays untouched.
STAND_IN = "spark2-submit"
SCRIPT = f"""#!{sys.executable}
import json, os, sys
with open({{path!r}}, "w") as file:
    json.dump({{{{"argv": sys.argv[1:], "env": dict(os.environ)}}}}, file)
print("State of driver driver-20260101000000-0001 is now RUNNING.")
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a spark-submit on PATH that writes its command line and environment to the returned file."""
    seen = tmp_path / "seen.json"
    binary = tmp_path / "bin" / STAND_IN
    binary.parent.mkdir()
    binary.write_text(SCRIPT.format(path=str(seen)))
    binary.chmod(0o755)
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("b.jar", "a.jar"):
        (jars / name).touch()
    cluster = {"conn_type": "spark", "host": "spark://127.0.0.1", "port": 6066}
    client = {"conn_type": "spark", "host": "spark://127.0.0.1", "port": 7077}
    values = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_SPARK_CLUSTER": json.dumps(
            {**cluster, "extra": {"deploy-mode": "cluster", "spark-binary": STAND_IN}}
        ),
        "AIRFLOW_CONN_SPARK_CLIENT": json.dumps(
            {**client, "extra": {"deploy-mode": "client", "spark-binary": STAND_IN}}
        ),
        "AIRFLOW__CORE__FERNET_KEY": PASSWORD,
        "PATH": f"{binary.parent}:/usr/bin:/bin",
        "JAVA_HOME": "/opt/java",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PLATFORM_SPARK_JARS": str(jars),
        "PLATFORM_CLICKHOUSE_PASSWORD": PASSWORD,
        "PLATFORM_STREAM_CORES": "2",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return seen


def _run(operator: Any, seen: Path) -> tuple[Any, list[str], Mapping[str, str]]:
    result = operator.execute({})
    content = json.loads(seen.read_text())
    return result, content["argv"], content["env"]


@pytest.fixture
def launched(seen: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str], Mapping[str, str]]:
    from include.spark import progress
    from include.spark.launch import LaunchStreamOperator

    monkeypatch.setattr(progress, "running_launches", lambda *_: {})
    monkeypatch.setattr(progress, "waiting_offsets", lambda *_: 0)
    monkeypatch.setattr(progress, "await_running", lambda *_, **given: dict.fromkeys(given["streams"], 7))
    operator = LaunchStreamOperator(
        task_id="launch", streams="ad_events", trigger_seconds="0.5", max_offsets="4000", start="earliest"
    )
    return _run(operator, seen)


def test_a_launch_is_sparksubmit_in_cluster_mode_over_rest(
    launched: tuple[Any, list[str], Mapping[str, str]], seen: Path
) -> None:
    result, argv, _ = launched
    jar = next(index for index, item in enumerate(argv) if "/spark-core_" in item)
    assert argv[:jar] == [
        *("--master", "spark://127.0.0.1:6066"),
        *("--conf", "spark.master.rest.enabled=true"),
        *("--conf", "spark.driver.cores=1"),
        *("--conf", "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1"),
        *("--driver-memory", "768m"),
        *("--name", "stream-ad_events"),
        *("--class", "org.apache.spark.deploy.SparkSubmit"),
        *("--deploy-mode", "cluster"),
        "--supervise",
    ]
    jars = seen.parent / "jars"
    assert argv[jar + 1 :] == [
        *("--master", "spark://127.0.0.1:7077"),
        *("--deploy-mode", "client"),
        *("--name", "stream-ad_events"),
        *("--jars", f"{jars / 'a.jar'},{jars / 'b.jar'}"),
        *("--conf", "spark.sql.shuffle.partitions=4"),
        *("--conf", "spark.sql.session.timeZone=UTC"),
        *("--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.log.level=WARN"),
        *("--conf", "spark.cores.max=2"),
        *("--conf", "spark.executor.cores=2"),
        *("--conf", "spark.executor.memory=768m"),
        *("--conf", "spark.sql.execution.arrow.maxRecordsPerBatch=20000"),
        *("--conf", "spark.python.worker.reuse=true"),
        str(PROJECT_ROOT / "jobs" / "stream.py"),
        *("--streams", "ad_events"),
        *("--launch", result["launch"]),
        *("--trigger-seconds", "0.5"),
        *("--max-offsets", "4000"),
        *("--start", "earliest"),
    ]


def test_a_launch_returns_its_driver_and_generations(
    launched: tuple[Any, list[str], Mapping[str, str]],
) -> None:
    result, _, _ = launched
    assert result["submitted"] is True
    assert result["driver"] == "driver-20260101000000-0001"
    assert result["streams"] == {"ad_events": 7}


def test_no_secret_reaches_the_command_line_or_the_child_of_a_launch(
    launched: tuple[Any, list[str], Mapping[str, str]],
) -> None:
    _, argv, env = launched
    assert PASSWORD not in " ".join(argv)
    assert sorted(name for name in env if name.startswith(("PLATFORM_", "AIRFLOW"))) == []
    assert env["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert env["JAVA_HOME"] == "/opt/java"


def test_nothing_is_submitted_while_a_healthy_driver_runs(
    seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.spark import progress
    from include.spark.heartbeats import Heartbeat
    from include.spark.launch import LaunchStreamOperator

    beat = Heartbeat("ad_events", 0, "earlier", 5, "running", 1, 0, "")
    monkeypatch.setattr(progress, "running_launches", lambda *_: {"ad_events": beat})
    operator = LaunchStreamOperator(task_id="launch", streams=["ad_events"])
    assert operator.execute({}) == {"submitted": False, "streams": {"ad_events": 5}}
    assert not seen.exists()


def test_a_recount_runs_in_client_mode_with_its_settings_and_nothing_of_airflow(seen: Path) -> None:
    from include.spark.recount import RecountOperator

    _, argv, env = _run(RecountOperator(task_id="recount", run="run-1"), seen)
    jars = seen.parent / "jars"
    assert argv == [
        *("--master", "spark://127.0.0.1:7077"),
        *("--conf", "spark.sql.shuffle.partitions=4"),
        *("--conf", "spark.sql.session.timeZone=UTC"),
        *("--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.log.level=WARN"),
        *("--conf", "spark.cores.max=2"),
        *("--conf", "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1"),
        *("--conf", "spark.executor.extraJavaOptions=-XX:-DontCompileHugeMethods"),
        *("--jars", f"{jars / 'a.jar'},{jars / 'b.jar'}"),
        *("--executor-memory", "1g"),
        *("--driver-memory", "1g"),
        *("--name", "recount"),
        *("--deploy-mode", "client"),
        str(PROJECT_ROOT / "jobs" / "recount.py"),
        *("--run", "run-1"),
    ]
    assert env["PLATFORM_CLICKHOUSE_PASSWORD"] == PASSWORD
    assert sorted(name for name in env if name.startswith("AIRFLOW")) == []


@pytest.mark.usefixtures("seen")
def test_a_retry_never_takes_an_ended_driver_for_a_launch_that_succeeded() -> None:
    from include.spark.launch import LaunchStreamOperator

    operator = LaunchStreamOperator(task_id="launch", streams=["ad_events"])
    assert operator.is_job_succeeded("FINISHED") is False
    assert not operator.is_job_active("NOT_FOUND")


@pytest.mark.usefixtures("seen")
def test_a_killed_launch_task_ends_spark_submit_and_asks_nothing_of_the_cluster() -> None:
    from include.spark.launch import LaunchStreamOperator

    operator = LaunchStreamOperator(task_id="launch", streams=["ad_events"])
    hook = operator._get_hook()
    hook._driver_id = "driver-20260101000000-0001"
    hook._submit_sp = subprocess.Popen(["sleep", "60"])
    operator._hook = hook
    operator.on_kill()  # a call to the cluster would be refused: the network is closed to unit tests
    assert hook._submit_sp.wait(timeout=10) == -signal.SIGKILL


def test_an_empty_jar_folder_is_refused_by_name(tmp_path: Path) -> None:
    settings = get_settings().model_copy(update={"spark_jars": str(tmp_path)})
    with pytest.raises(MissingJarsError, match="PLATFORM_SPARK_JARS"):
        connector_jars(settings)


def test_streams_are_read_back_from_an_application_name() -> None:
    assert streams_of("stream-ad_events+logs") == {"ad_events", "logs"}
    assert streams_of("recount") == frozenset()


def test_environments_put_this_python_first_on_the_path() -> None:
    bin_folder = str(Path(sys.executable).parent)
    for build in (submit_environment, job_environment):
        assert build({"PATH": "/usr/bin"})["PATH"] == f"{bin_folder}:/usr/bin"
