"""The command lines and environments that spark-submit is started with, seen by a stand-in binary."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from include.settings import PROJECT_ROOT, get_settings
from include.spark.arrival import Arrival
from include.spark.heartbeats import Heartbeat
from include.spark.orders import Order
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


def _launch_operator(**arguments: Any) -> Any:
    """Return an operator that launches ad_events; Airflow is imported once `seen` has set its home."""
    from include.spark.launch import LaunchStreamOperator

    return LaunchStreamOperator(**{"task_id": "launch", "streams": "ad_events", **arguments})


def _run(operator: Any, seen: Path) -> tuple[Any, list[str], Mapping[str, str]]:
    result = operator.execute({})
    content = json.loads(seen.read_text())
    return result, content["argv"], content["env"]


@dataclass
class Edges:
    """What a launch would have done to services; `running` is what it is told of them."""

    running: dict[str, Heartbeat] = field(default_factory=dict)
    rebuilt: tuple[str, ...] = ()
    orders: list[Order] = field(default_factory=list)
    awaited: list[dict[str, Any]] = field(default_factory=list)
    launches: dict[str, str] = field(default_factory=dict)
    arrival: Arrival = field(default_factory=lambda: Arrival({"ad_events": 7}, {}, ()))


@pytest.fixture
def edges(seen: Path, monkeypatch: pytest.MonkeyPatch) -> Edges:  # noqa: ARG001
    from include.spark import arrival, cluster, orders, progress, start_evidence

    found = Edges()

    def await_running(_: object, **given: Any) -> Arrival:
        found.awaited.append(given)
        return found.arrival

    monkeypatch.setattr(progress, "running_launches", lambda *_: found.running)
    monkeypatch.setattr(progress, "waiting_offsets", lambda *_: 0)
    monkeypatch.setattr(start_evidence, "guard_launch", lambda *_, **__: found.rebuilt)
    monkeypatch.setattr(orders, "record_all", lambda _, new: found.orders.extend(new))
    monkeypatch.setattr(cluster, "find_launch", lambda _, launch: found.launches.get(launch, ""))
    monkeypatch.setattr(cluster, "driver_state", lambda *_: "RUNNING")
    monkeypatch.setattr(arrival, "await_running", await_running)
    return found


@pytest.fixture
def launched(seen: Path, edges: Edges) -> tuple[Any, list[str], Mapping[str, str]]:  # noqa: ARG001
    operator = _launch_operator(trigger_seconds="0.5", max_offsets="4000", start="earliest")
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


BEAT = Heartbeat("ad_events", 0, "earlier", 5, "running", 1, 0, "")


def test_nothing_is_submitted_while_a_healthy_driver_runs_but_the_order_is_kept(
    seen: Path, edges: Edges
) -> None:
    edges.running = {"ad_events": BEAT}
    operator = _launch_operator()
    assert operator.execute({}) == {"submitted": False, "streams": {"ad_events": 5}}
    assert not seen.exists()
    assert [(order.kind, order.launch) for order in edges.orders] == [("launch", "earlier")]


@pytest.mark.parametrize(("force", "rebuilt"), [("True", ()), (True, ()), ("False", ("ad_events",))])
def test_a_forced_launch_and_a_rebuild_submit_beside_a_driver_that_says_it_runs(
    seen: Path, edges: Edges, force: bool | str, rebuilt: tuple[str, ...]
) -> None:
    edges.running, edges.rebuilt = {"ad_events": BEAT}, rebuilt
    result, _, _ = _run(_launch_operator(force=force), seen)
    assert result["submitted"] is True


def test_an_order_holds_what_was_asked_for_and_by_whom(
    launched: tuple[Any, list[str], Mapping[str, str]], edges: Edges
) -> None:
    (order,) = edges.orders
    assert (order.stream, order.streams, order.kind) == ("ad_events", ("ad_events",), "launch")
    assert (order.trigger_seconds, order.max_offsets, order.start) == (0.5, 4000, "earliest")
    assert (order.launch, order.by) == (launched[0]["launch"], "adhoc_airflow")


def test_an_approved_gap_reaches_the_job_and_an_empty_start_is_earliest(seen: Path, edges: Edges) -> None:  # noqa: ARG001
    gap = "ad_events=2026-01-01T00:00:00Z"
    _, argv, _ = _run(_launch_operator(skip_to=gap), seen)
    assert argv[-4:] == ["--start", "earliest", "--skip-to", gap]


def test_a_launch_that_another_one_took_over_ends_well_and_names_it(seen: Path, edges: Edges) -> None:
    edges.arrival = Arrival({"ad_events": 9}, {"ad_events": "other"}, ())
    result, _, _ = _run(_launch_operator(), seen)
    assert (result["streams"], result["taken_over"]) == ({"ad_events": 9}, {"ad_events": "other"})


class Store(dict[str, Any]):
    """A task's state store, which outlives its attempts."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def test_a_retry_goes_on_with_the_driver_that_was_noted(seen: Path, edges: Edges) -> None:
    store = Store()
    context: Any = {"task_state_store": store}
    first = _launch_operator().execute(context)
    seen.unlink()
    again = _launch_operator().execute(context)
    assert not seen.exists(), "a second driver was submitted"
    assert (again["driver"], again["launch"]) == (first["driver"], first["launch"])
    assert len(edges.orders) == 1
    assert [given["launch"] for given in edges.awaited] == [first["launch"]] * 2


def test_a_retry_finds_the_driver_of_an_attempt_that_died_before_noting_its_id(
    seen: Path, edges: Edges
) -> None:
    store = Store(launch="abc")
    edges.launches = {"abc": "driver-7"}
    context: Any = {"task_state_store": store}
    result = _launch_operator().execute(context)
    assert not seen.exists(), "a second driver was submitted"
    assert (result["driver"], result["launch"]) == ("driver-7", "abc")


def test_a_retry_submits_anew_where_the_attempt_before_left_no_driver(seen: Path, edges: Edges) -> None:  # noqa: ARG001
    store = Store(launch="abc")
    context: Any = {"task_state_store": store}
    result = _launch_operator().execute(context)
    assert seen.exists()
    assert result["launch"] == store["launch"] != "abc"


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
    operator = _launch_operator()
    assert operator.is_job_succeeded("FINISHED") is False
    assert not operator.is_job_active("NOT_FOUND")


@pytest.mark.usefixtures("seen")
def test_a_killed_launch_task_ends_spark_submit_and_asks_nothing_of_the_cluster() -> None:
    operator = _launch_operator()
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
