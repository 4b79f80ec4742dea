"""The thread of the detectors: what fails is tried again and told of, and stops nothing else; on a stand-in warehouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clickhouse_driver import errors

from include.contracts import load_contract
from include.contracts.load import ContractError
from include.detect import detection
from include.detect.detection import Detection
from include.detect.judge import Fired
from include.detect.load import Detector, Loaded, load_detectors
from include.detect.store import EVERY
from include.settings import Settings
from include.streaming.vitals import Vitals
from tests.helpers import eventually

NINE = 1_767_258_000  # 2026-01-01 09:00:00
APART = 600
ERRORS = [
    errors.ServerException("Timeout exceeded", 159),
    errors.ServerException("Too many simultaneous queries", 202),
    errors.ServerException("Memory limit exceeded", 241),
    errors.ServerException("Missing columns", 47),
    errors.NetworkError("refused"),
    KeyError("subject"),
]
Judge = Callable[[Detector, int, int], list[Fired]]


class Warehouse:
    """A client whose tables are there and empty; keeps the rows of detector_checks by their columns."""

    def __init__(self) -> None:
        self.checks: list[dict[str, Any]] = []

    def execute(self, statement: str, values: Any = None) -> list[tuple[int, ...]]:
        if statement.startswith("INSERT INTO detector_checks"):
            names = statement.split("(")[1].split(")")[0].split(", ")
            self.checks += [dict(zip(names, row, strict=True)) for row in values]
        return [(1,)] if statement.startswith("EXISTS") else []

    def disconnect(self) -> None:
        """Nothing is connected."""


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    found = Warehouse()
    monkeypatch.setattr(detection, "connect", lambda *_, **__: found)
    return found


def begun(loaded: Loaded | None = None) -> Detection:
    """Return the detectors of logs before their first round."""
    contract = load_contract("logs")
    return Detection(Settings(), contract, Vitals("logs", contract.topic.name), loaded)


def touched(monkeypatch: pytest.MonkeyPatch, judge: Judge, *names: str) -> Detection:
    """Return detectors that have six windows far apart to judge, and judge them so."""
    monkeypatch.setattr(detection, "judge", lambda _, found, first, end, **__: judge(found, first, end))
    found = load_detectors().detectors
    made = begun(Loaded({name: found[name] for name in names}))
    made.prepare()
    made._resumed = True
    for work in made._work:
        for number in range(6):
            at = NINE + number * APART
            work.pending.add_hours(at, at + 1, at)
    monkeypatch.setattr(made, "_is_idle", lambda: True)
    return made


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error.args[0]}")
@pytest.mark.parametrize("fails_at", [0, 2])
def test_windows_that_an_error_left_unjudged_are_judged_at_the_next_attempt(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, error: Exception, fails_at: int
) -> None:
    judged: list[int] = []
    attempts: list[int] = []

    def judge(_: Detector, first: int, end: int) -> list[Fired]:
        attempts.append(first)
        if len(attempts) == fails_at + 1:
            raise error
        judged.extend(range(first, end, 60))
        return []

    for name in ("REST_SECONDS", "ROUND_SECONDS"):
        monkeypatch.setattr(detection, name, 0.0)
    found = touched(monkeypatch, judge, "ddos")
    for _ in range(3):
        found.round()
    assert sorted(judged) == [NINE + number * APART for number in range(6)]
    assert attempts[fails_at] == attempts[fails_at + 1], "the newest is tried first, again"
    found.write_checks()
    ((windows, failures, said),) = [
        (row["windows"], row["failures"], row["error"]) for row in warehouse.checks
    ]
    assert (windows, failures, said) == (6, 1, ""), "what passed is no error any more"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error.args[0]}")
def test_a_detector_that_fails_rests_and_the_others_go_on(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    attempts: list[str] = []

    def judge(found: Detector, *_: int) -> list[Fired]:
        attempts.append(found.name)
        if found.name == "ddos":
            raise error
        return []

    monkeypatch.setattr(detection, "ROUND_SECONDS", detection.REST_SECONDS)
    found = touched(monkeypatch, judge, "ddos", "error_rate_spike", "suspicious_ip")
    for _ in range(3):
        found.round()
    assert attempts.count("ddos") == 1, "it rests"
    assert attempts.count("error_rate_spike") == attempts.count("suspicious_ip") == 6
    found.write_checks()
    assert {row["detector"]: bool(row["error"]) for row in warehouse.checks} == {
        "ddos": True,
        "error_rate_spike": False,
        "suspicious_ip": False,
    }


def test_an_error_that_stands_is_said_again_on_a_quiet_stream(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object) -> list[Fired]:
        raise ERRORS[3]

    found = touched(monkeypatch, judge, "ddos")
    found.round()
    for _ in range(2):
        found.write_checks()
    assert [(row["failures"], row["error"]) for row in warehouse.checks] == [
        (1, warehouse.checks[0]["error"]),
        (0, warehouse.checks[0]["error"]),
    ]
    assert "Missing columns" in warehouse.checks[0]["error"]


def unread(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Have the detectors' files fail to load so often; return the attempts so far, which grow."""
    attempts: list[int] = []

    def load() -> Loaded:
        attempts.append(len(attempts))
        if len(attempts) <= times:
            raise ContractError("logs.yaml:7: topic: Field required")
        return load_detectors()

    monkeypatch.setattr(detection, "load_detectors", load)
    return attempts


def test_detectors_that_cannot_be_read_are_told_of_and_tried_again(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(detection, "REST_SECONDS", 0.01)
    unread(monkeypatch, 3)
    found = begun()
    found.start()
    eventually(lambda: found.prepared, "the detectors are read", 10)
    found.end()
    found.join(10)
    said = [(row["detector"], row["stream"], row["failures"], row["error"]) for row in warehouse.checks]
    assert said == [(EVERY, "logs", 1, "ContractError: logs.yaml:7: topic: Field required")] * 3
    told = [record for record in caplog.records if "no detector runs" in record.getMessage()]
    assert len(told) == 1, "the log says it once"


def test_detectors_that_cannot_be_read_are_not_tried_without_pause(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = unread(monkeypatch, 10**6)
    found = begun()
    found.start()
    eventually(lambda: bool(warehouse.checks), "it is told that none runs", 10)
    found.end()
    found.join(10)
    assert not found.is_alive(), "the pause holds no end up"
    assert (len(attempts), found.prepared) == (1, False)
