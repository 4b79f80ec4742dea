"""A fourth stream, end to end to a certificate: the files under tests/fourth_stream are laid over a copy of the project.

They are one contract, one view with its question, and one generator; nothing that is there is changed. What they hold
is what docs/adding_a_stream.md shows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from include.settings import PROJECT_ROOT
from include.warehouse.client import connect
from tests.conftest import platform_environment, platform_settings
from tests.leftovers import fresh_suffix

ADDED = PROJECT_ROOT / "tests" / "fourth_stream"
COPIED = ("include", "sql", "expectations")
SECONDS = 540


def files_under(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def added_files() -> set[str]:
    return files_under(ADDED) - {"prove.py"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the added stream came to, in a copy of the project with topics and a database of its own."""
    copy, name = tmp_path_factory.mktemp("project"), fresh_suffix()
    for folder in COPIED:
        shutil.copytree(PROJECT_ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ADDED, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    contract = copy / "include" / "contracts" / "sensor_readings.yaml"
    text = contract.read_text(encoding="utf-8")
    assert "name: sensor-readings\n" in text
    contract.write_text(text.replace("name: sensor-readings\n", f"name: test-{name}\n"), encoding="utf-8")
    own = {
        "PLATFORM_CLICKHOUSE_DATABASE": f"test_{name}",
        "PLATFORM_CONTROL_TOPIC": f"test-control-{name}",
        "PLATFORM_SCRATCH_DIR": str(copy / "scratch"),
        "PLATFORM_ARTIFACTS_DIR": str(copy / "artifacts"),
        "PLATFORM_GRACE_SECONDS": "0",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(copy),
    }
    try:
        done = subprocess.run(
            [sys.executable, "prove.py"],
            cwd=copy,
            env={**os.environ, **platform_environment(), **own},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
        assert lines, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        yield json.loads(lines[0].removeprefix("FOUND "))
    finally:
        settings = platform_settings()
        client = connect(settings, database="")
        client.execute(f"DROP DATABASE IF EXISTS test_{name}")
        client.disconnect()
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
        for topic in admin.delete_topics([f"test-{name}", f"test-control-{name}"]).values():
            topic.exception(30)


def test_nothing_that_is_there_is_changed(added_files: set[str]) -> None:
    there = {
        file for folder in COPIED for file in map(f"{folder}/{{}}".format, files_under(PROJECT_ROOT / folder))
    }
    assert not added_files & there
    assert added_files == {
        "include/contracts/sensor_readings.yaml",
        "include/traffic/sensor_readings.py",
        "sql/queries/site_temperatures.sql.j2",
        "sql/views/site_temperatures.sql.j2",
    }


def test_it_is_found_by_its_files_alone_and_ends_well(found: dict[str, Any]) -> None:
    assert found["streams"] == ["ad_events", "logs", "sensor_readings", "user_events"]
    assert (found["job"], found["unexplained"]) == (0, 0)
    sent = found["sent"]
    assert min(sent["rejected"], sent["late"], sent["duplicates"]) > 0, sent


def test_what_is_served_equals_what_was_sent_before_and_after_the_seal(found: dict[str, Any]) -> None:
    for compared, unequal in found["served"].values():
        assert compared > 0
        assert unequal == 0, found["examples"]
    sent = found["sent"]
    # Each reading lies in five windows; until the seal copies count, too.
    ((status, readings, sensors, _),) = found["view"]["before"]
    assert (status, readings, sensors) == ("provisional", 5 * sent["accepted"], 10)
    ((status, readings, sensors, _),) = found["view"]["after"]
    assert (status, readings, sensors) == ("sealed", 5 * (sent["accepted"] - sent["duplicates"]), 10)


def test_its_hour_has_a_certificate(found: dict[str, Any]) -> None:
    assert (found["verdict"], found["reason"]) == ("PROVED", "equal at once")
    certificate = json.loads(found["certificate"])
    assert certificate["stream"] == "sensor_readings"
