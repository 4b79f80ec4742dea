"""docker-compose.yml against the compose specification, the settings model and the rules for its services.

No engine is needed: the file is read as text, its variables are filled in here, and it is judged as YAML.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from cryptography.fernet import Fernet
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from include.local.env import airflow_settings
from include.local.layout import Layout
from include.local.secrets import Secrets
from include.local.spark import cluster_properties
from include.settings import PREFIX, PROJECT_ROOT, Settings

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
DOCKER = PROJECT_ROOT / "docker"
SCHEMA = Path(__file__).with_name("compose-spec.json")

ONE_SHOT = {"airflow-migrate"}
RUNS_PROJECT_CODE = {
    "spark-worker",
    "airflow-migrate",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
}
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")
SECRET_WORD = re.compile(r"PASSWORD|SECRET|FERNET|TOKEN")
PINNED = re.compile(r":v?\d+(\.\d+)+[\w.-]*$")

Service = dict[str, Any]


def fill_in(text: str) -> str:
    """Replace each variable as compose does: a default where there is one, else `given-<name>`."""
    return VARIABLE.sub(lambda m: m["text"] if m["kind"] == "-" else f"given-{m['name']}", text)


@pytest.fixture(scope="module")
def text() -> str:
    return COMPOSE.read_text()


@pytest.fixture(scope="module")
def raw(text: str) -> dict[str, Service]:
    """Services with their variables as written."""
    return dict(yaml.safe_load(text)["services"])


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Service]:
    """Services with their variables filled in."""
    return dict(yaml.safe_load(fill_in(text))["services"])


def environment(service: Service) -> dict[str, str]:
    return dict(service.get("environment", {}))


def test_file_is_valid_under_the_compose_specification(text: str) -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    errors = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(yaml.safe_load(fill_in(text)))]
    assert not errors, "\n".join(errors)


def test_services_are_those_of_the_platform(services: dict[str, Service]) -> None:
    assert set(services) == RUNS_PROJECT_CODE | {"kafka", "clickhouse", "spark-master", "postgres"}


def test_platform_variables_are_settings_of_the_model(services: dict[str, Service]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = {
        f"{name}: {variable}"
        for name, service in services.items()
        for variable in environment(service)
        if variable.startswith(PREFIX) and variable not in known
    }
    assert not unknown, f"not in include/settings.py: {sorted(unknown)}"


def settings_that_containers_need() -> set[str]:
    """Settings whose default holds on one machine only: loopback, a path, a secret, or nothing."""
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return {
        PREFIX + name.upper()
        for name, default in defaults.items()
        if isinstance(default, (Path, SecretStr))
        or (isinstance(default, str) and (not default or "127.0.0.1" in default or "localhost" in default))
    }


@pytest.mark.parametrize("name", sorted(RUNS_PROJECT_CODE))
def test_containers_are_given_every_setting_that_they_need(services: dict[str, Service], name: str) -> None:
    missing = settings_that_containers_need() - set(environment(services[name]))
    assert not missing, f"{name} runs on a default of one machine for {sorted(missing)}"


def test_settings_are_the_same_in_every_container(services: dict[str, Service]) -> None:
    given = {
        name: {k: v for k, v in environment(services[name]).items() if k.startswith(PREFIX)}
        for name in RUNS_PROJECT_CODE
    }
    for name, settings in given.items():
        assert settings == given["spark-worker"], f"{name} differs from spark-worker"


def test_settings_of_containers_pass_the_model(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(services["spark-worker"]).items():
        monkeypatch.setenv(variable, str(value))
    settings = Settings()
    assert settings.kafka_bootstrap_servers == "kafka:29092"
    assert settings.clickhouse_host in services
    assert settings.clickhouse_password.get_secret_value() == "given-PLATFORM_CLICKHOUSE_PASSWORD"
    assert settings.allow_inject_drift is False


def test_environment_values_are_text(raw: dict[str, Service]) -> None:
    wrong = [
        f"{name}: {variable}={value!r}"
        for name, service in raw.items()
        for variable, value in environment(service).items()
        if not isinstance(value, str)
    ]
    assert not wrong, f"quote these, or YAML changes them: {wrong}"


def test_ports_are_published_on_loopback_only(services: dict[str, Service]) -> None:
    published = {name: service.get("ports", []) for name, service in services.items()}
    exposed = [
        f"{n}: {p}" for n, ports in published.items() for p in ports if not str(p).startswith("127.0.0.1:")
    ]
    assert not exposed, f"reachable from outside this machine: {exposed}"
    assert published["kafka"] == ["127.0.0.1:9092:9092"]
    assert published["clickhouse"] == ["127.0.0.1:9000:9000", "127.0.0.1:8123:8123"]
    assert not any("network_mode" in service for service in services.values())


def test_images_are_pinned(services: dict[str, Service]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    base = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    unpinned = [image for image in [*images.values(), *base] if not PINNED.search(image)]
    assert base, "docker/Dockerfile has no FROM"
    assert not unpinned, f"no version in {unpinned}"


def test_secrets_must_be_given_and_are_never_written_down(text: str, raw: dict[str, Service]) -> None:
    for match in VARIABLE.finditer(text):
        if SECRET_WORD.search(match["name"]) or match["name"].endswith("_KEY"):
            required = match["kind"] == "?" and match["text"]
            assert required, f"{match[0]} must be ${{{match['name']}:?reason}}"
    for name, service in raw.items():
        for variable, value in environment(service).items():
            if variable.endswith("_PASSWORDS_FILE") or not (
                SECRET_WORD.search(variable) or variable.endswith(("_KEY", "ALCHEMY_CONN"))
            ):
                continue
            assert ":?" in value, f"{name} holds a literal secret in {variable}"


def test_literal_urls_hold_no_password(text: str) -> None:
    logins = re.findall(r"//[^\s/:@]+:[^\s@/]+@", VARIABLE.sub("", text.replace("\\\n      ", "")))
    assert not logins, logins


def test_drift_injection_is_off_by_default(raw: dict[str, Service]) -> None:
    for name in RUNS_PROJECT_CODE:
        value = environment(raw[name])["PLATFORM_ALLOW_INJECT_DRIFT"]
        assert value == "${PLATFORM_ALLOW_INJECT_DRIFT:-false}", f"{name}: {value}"


def test_long_running_services_are_checked_and_restarted(services: dict[str, Service]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no", f"{name} runs once"
            continue
        assert service.get("restart") == "unless-stopped", f"{name} is not restarted"
        check = service.get("healthcheck", {})
        missing = {"test", "interval", "timeout", "retries"} - set(check)
        assert not missing, f"{name}'s health check lacks {sorted(missing)}"


def test_services_wait_for_what_they_need(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected, f"{name} -> {needed}: {how['condition']}"
    waits = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert waits["airflow-migrate"] == {"postgres"}
    assert all(
        "airflow-migrate" in waits[n] for n in services if n.startswith("airflow-") and n not in ONE_SHOT
    )
    assert {"kafka", "clickhouse", "spark-master"} <= waits["spark-worker"]


def test_kafka_has_an_internal_and_a_host_listener(services: dict[str, Service]) -> None:
    kafka = environment(services["kafka"])
    assert kafka["KAFKA_LISTENERS"] == "INTERNAL://:29092,HOST://:9092,CONTROLLER://:29093"
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == "INTERNAL://kafka:29092,HOST://127.0.0.1:9092"
    assert kafka["KAFKA_INTER_BROKER_LISTENER_NAME"] == "INTERNAL"
    mapped = dict(pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(mapped) == {"INTERNAL", "HOST", "CONTROLLER"}


def test_airflow_connections_name_the_spark_master(services: dict[str, Service]) -> None:
    scheduler = environment(services["airflow-scheduler"])
    cluster = json.loads(scheduler["AIRFLOW_CONN_SPARK_CLUSTER"])
    client = json.loads(scheduler["AIRFLOW_CONN_SPARK_CLIENT"])
    assert (cluster["host"], cluster["port"]) == ("spark://spark-master", 6066)
    assert (client["host"], client["port"]) == ("spark://spark-master", 7077)
    assert [c["extra"]["deploy-mode"] for c in (cluster, client)] == ["cluster", "client"]


def test_driver_worker_and_airflow_share_their_folders(text: str, services: dict[str, Service]) -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    for name in RUNS_PROJECT_CODE:
        assert "shared:/var/lib/platform" in services[name]["volumes"], name
        settings = environment(services[name])
        for folder in (settings["PLATFORM_SCRATCH_DIR"], settings["PLATFORM_ARTIFACTS_DIR"]):
            assert folder.startswith("/var/lib/platform/"), f"{name}: {folder} is in no shared volume"
            assert folder in dockerfile, f"the image does not make {folder}"
        assert settings["PLATFORM_SPARK_JARS"] == "/opt/jars/spark"
    assert "RUN python docker/fetch_jars.py /opt/jars/spark" in dockerfile
    declared = set(yaml.safe_load(text)["volumes"])
    used = {v.split(":")[0] for s in services.values() for v in s.get("volumes", []) if not v.startswith(".")}
    assert used == declared, f"declared {sorted(declared)}, used {sorted(used)}"


def test_files_that_the_services_name_exist(services: dict[str, Service]) -> None:
    mounted = [v.split(":")[0] for s in services.values() for v in s.get("volumes", []) if v.startswith("./")]
    in_image = [
        word.replace("/opt/platform/", "./")
        for service in services.values()
        for word in service.get("command", [])
        if "/opt/platform/" in word
    ]
    assert mounted
    assert in_image
    missing = [path for path in [*mounted, *in_image] if not (PROJECT_ROOT / path).is_file()]
    assert not missing, missing


def test_clickhouse_users_take_their_passwords_from_the_environment(services: dict[str, Service]) -> None:
    root = ElementTree.parse(DOCKER / "clickhouse" / "users.d" / "platform.xml").getroot()
    users = {user.tag: user for user in root.findall("users/*")}
    assert set(users) == {"default", "platform", "analyst"}
    assert users["default"].get("remove") == "remove"
    for name in ("platform", "analyst"):
        password = users[name].find("password")
        assert password is not None, name
        assert not password.text, f"{name} has a literal password"
        assert password.get("from_env") in environment(services["clickhouse"]), name
    assert root.findtext("profiles/analyst/readonly") == "1"
    assert users["analyst"].findtext("profile") == "analyst"
    longest = float(root.findtext("profiles/analyst/max_execution_time") or "inf")
    grace = Settings.model_fields["grace_seconds"].get_default()
    assert longest < grace, f"a reader may take {longest} s, the grace period is {grace} s"


def test_drawn_secrets_are_those_that_compose_asks_for(text: str) -> None:
    asked = {m["name"] for m in VARIABLE.finditer(text) if m["kind"] == "?"}
    run = subprocess.run([DOCKER / "new-secrets.sh"], capture_output=True, text=True, check=True, timeout=10)
    drawn = dict(line.split("=", 1) for line in run.stdout.splitlines())
    assert set(drawn) == asked
    Fernet(drawn["AIRFLOW_FERNET_KEY"])
    short = [name for name, value in drawn.items() if len(value) < 32]
    assert not short, f"under 32 characters: {short}"
    assert len(set(drawn.values())) == len(drawn), "a secret was drawn twice"


def test_master_and_worker_are_set_up_as_on_the_local_platform() -> None:
    lines = (DOCKER / "spark" / "cluster.conf").read_text().splitlines()
    image = dict(line.split() for line in lines if line and not line.startswith("#"))
    local = dict(line.split() for line in cluster_properties(Layout()).splitlines())
    of_the_place = {"spark.deploy.recoveryDirectory", "spark.master.rest.host"}
    assert set(image) == set(local)
    assert {k: v for k, v in image.items() if k not in of_the_place} == {
        k: v for k, v in local.items() if k not in of_the_place
    }


def test_airflow_is_configured_as_on_the_local_platform(services: dict[str, Service]) -> None:
    here = environment(services["airflow-scheduler"])
    local = airflow_settings(Layout(), Secrets())
    shared = (
        "CORE__EXECUTOR",
        "CORE__LOAD_EXAMPLES",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION",
        "CORE__SIMPLE_AUTH_MANAGER_USERS",
        "CORE__PARALLELISM",
    )
    for option in (f"AIRFLOW__{name}" for name in shared):
        assert here[option].lower() == local[option].lower(), option
    connections = {name for name in local if name.startswith("AIRFLOW_CONN_")}
    assert connections <= set(here), f"no {sorted(connections - set(here))} in containers"


def test_shell_scripts_parse() -> None:
    scripts = sorted(DOCKER.rglob("*.sh"))
    assert scripts
    for script in scripts:
        run = subprocess.run(["bash", "-n", script], check=False, capture_output=True, text=True, timeout=10)
        assert run.returncode == 0, run.stderr
        assert script.stat().st_mode & 0o111, f"{script} is not executable"
