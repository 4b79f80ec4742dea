"""The suite of the raw log: records taken apart by plain JSON, and each expectation seen to fail on every stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from include.contracts import Contract, load_contract, load_contracts
from include.contracts.access_log import parse_line
from include.contracts.classifier import Classifier, Event
from include.quality.parameters import expectation_parameters
from include.quality.raw_frame import raw_frame
from include.quality.raw_log import RawSample
from include.quality.raw_values import TEXT_LIMIT, broken, event_time, field_values, parse
from include.quality.report import CheckResult
from include.quality.suites import build_suite, load_suites, parameters_used
from include.quality.validate import SuiteRunner
from include.reconcile.raw import RawRecord
from include.settings import PROJECT_ROOT
from tests.contracts import odd_contracts
from tests.helpers import KAFKA_MS, MOMENT, RUN_SEED, encoded
from tests.surprises import Surprises

HOUR = datetime(2025, 12, 16, 2, tzinfo=UTC)
ADDED = PROJECT_ROOT / "tests" / "fourth_stream" / "include" / "contracts"
MS = int(MOMENT.timestamp() * 1000)
LINE = b'10.0.3.7 - user_017 [16/Dec/2025:02:04:08 +0000] "GET /checkout/cart HTTP/1.1" 502 512'
LOG = {"timestamp": "2025-12-16T02:04:08.891Z", "service": "checkout", "status_code": 502, "level": "ERROR",
       "response_time": 0.7, "user_id": ""}  # fmt: skip
USER = {
    "timestamp": MS,
    "user_id": "u1",
    "action": "view",
    "value": 4.5,
    "session_id": "s1",
    "ip_address": "::1",
}
GOOD: dict[str, list[bytes]] = {
    "ad_events": [encoded(), encoded(event_type="impression", revenue=0)],
    "logs": [json.dumps(LOG).encode(), LINE],
    "user_events": [json.dumps(USER).encode()],
    "sensor_readings": [
        json.dumps({"measured_at": MS, "sensor_id": "a", "site": "b", "celsius": -4}).encode()
    ],
}
Checker = Callable[[str, pd.DataFrame], list[CheckResult]]


def contract_of(stream: str) -> Contract:
    return load_contract(stream, ADDED) if stream == "sensor_readings" else load_contract(stream)


def sample(*values: bytes | None, key: bytes | None = b"u1", kafka_ms: int = KAFKA_MS) -> RawSample:
    records = tuple(RawRecord(0, offset, key, value, kafka_ms) for offset, value in enumerate(values))
    return RawSample(records, len(records))


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    runs = {}
    for stream in GOOD:
        contract = contract_of(stream)
        (loaded,) = [suite for suite in load_suites(contract) if suite.file.name == "raw_log"]
        runner = SuiteRunner(tmp_path_factory.mktemp(stream), stream)
        runs[stream] = runner, loaded, expectation_parameters(contract, HOUR)

    def run(stream: str, frame: pd.DataFrame) -> list[CheckResult]:
        runner, loaded, parameters = runs[stream]
        return runner.check(loaded, frame, HOUR, parameters)

    return run


def failed(results: list[CheckResult]) -> set[tuple[str, str, str]]:
    return {(r.expectation.removeprefix("expect_"), r.column, r.severity) for r in results if not r.success}


@pytest.mark.parametrize("stream", list(GOOD))
def test_good_records_pass_and_the_figure_is_told(check: Checker, stream: str) -> None:
    values = GOOD[stream] * 10
    results = check(stream, raw_frame(contract_of(stream), sample(*values)))
    assert failed(results) == set(), [str(r) for r in results if not r.success]
    assert {r.column: r.observed for r in results}["sampled_records"] == str(len(values))


@pytest.mark.parametrize("stream", list(GOOD))
def test_nothing_left_to_sample_is_a_success_with_the_figure(check: Checker, stream: str) -> None:
    results = check(stream, raw_frame(contract_of(stream), RawSample(planned=2_000, expired=2_000)))
    assert failed(results) == set(), [str(r) for r in results if not r.success]
    seen = {r.column: r.observed for r in results}
    assert (seen["sampled_records"], seen["expired_offsets"]) == ("0", "2000")


def spoilt(frame: pd.DataFrame, result: CheckResult) -> pd.DataFrame:
    """Return the frame with what one expectation forbids, and nothing else, in every record."""
    frame, column, kind = frame.copy(), result.column, result.expectation
    if kind == "expect_column_max_to_be_between":
        frame.loc[frame["record"] == "sample", column] = -1 if column == "expired_offsets" else 2_001
        return frame
    if kind == "expect_column_pair_values_to_be_equal":
        column, kind = "key", "expect_column_values_to_be_in_set"
    figures = {
        "expect_column_values_to_not_be_null": None,
        "expect_column_values_to_be_in_set": "odd",
        "expect_column_values_to_be_between": 1e15,
        "expect_column_value_lengths_to_be_between": "",
    }
    if result.severity == "warning":  # or what is accepted is the worse
        frame.loc[(frame["record"] == "record") & (column != "key"), "verdict"] = "schema"
    frame.loc[frame["record"] == "record", column] = figures[kind]
    return frame


@pytest.mark.parametrize("stream", list(GOOD))
def test_each_expectation_fails_once_with_its_severity(tmp_path: Path, stream: str) -> None:
    contract = contract_of(stream)
    good = raw_frame(contract, sample(*GOOD[stream]))
    (suite,) = [found.file for found in load_suites(contract) if found.file.name == "raw_log"]
    runner, parameters = SuiteRunner(tmp_path, stream), expectation_parameters(contract, HOUR)
    for number, entry in enumerate(suite.expectations):
        alone = suite.model_copy(update={"name": f"raw_log_{number}", "expectations": (entry,)})
        loaded = build_suite(Path("raw_log.json"), alone)
        (right,) = runner.check(loaded, good, HOUR, parameters)
        (wrong,) = runner.check(loaded, spoilt(good, right), HOUR, parameters)
        assert (right.success, wrong.success, wrong.severity) == (True, False, entry.severity), str(wrong)


BAD_AD_EVENTS: list[tuple[bytes | None, str, str]] = [
    (encoded(country="XX"), "column_values_to_be_in_set", "value.country"),
    (encoded(campaign_id=""), "column_value_lengths_to_be_between", "value.campaign_id"),
    (encoded(user_id=...), "column_values_to_not_be_null", "value.user_id"),
    (encoded(device=None), "column_values_to_not_be_null", "value.device"),
    (encoded(revenue=1_001), "column_values_to_be_between", "value.revenue"),
    (encoded(revenue="0.5"), "column_values_to_be_in_set", "broken"),
    (encoded(revenue=True), "column_values_to_not_be_null", "value.revenue"),
    (encoded(event_type="impression"), "column_values_to_be_in_set", "broken"),
    (encoded(revenue=0), "column_values_to_be_in_set", "broken"),
    (encoded(timestamp="16/12/2025"), "column_values_to_not_be_null", "event_time"),
    (encoded(timestamp="2025-12-16T04:04:08"), "column_values_to_be_between", "delay_seconds"),
    (encoded(timestamp="2025-12-01T04:04:08"), "column_values_to_be_between", "delay_seconds"),
    (encoded()[:-1], "column_max_to_be_between", "malformed_share"),
    (b"\xff", "column_max_to_be_between", "malformed_share"),
    (None, "column_max_to_be_between", "refused_share"),
]


def test_bad_records_above_five_percent_are_warnings_that_name_the_place(check: Checker) -> None:
    contract = load_contract("ad_events")
    bad = [value for value, *_ in BAD_AD_EVENTS]
    few = check("ad_events", raw_frame(contract, sample(*[encoded()] * 19 * len(bad), *bad)))
    assert failed(few) == set(), "one of twenty records"
    many = check(
        "ad_events", raw_frame(contract, sample(*[encoded()] * 9, *[v for v in bad for _ in range(3)]))
    )
    expected = {(expectation, column, "warning") for _, expectation, column in BAD_AD_EVENTS}
    assert expected <= failed(many)
    assert {severity for *_, severity in failed(many)} == {"warning"}
    (country,) = [r for r in many if not r.success and r.column == "value.country"]
    for part in ('"XX"', '"offset": 9', '"KR"'):
        assert part in str(country), f"{part} is not in: {country}"


def test_a_key_is_asked_of_the_stream_that_has_keys_and_is_its_user(check: Checker) -> None:
    frame = raw_frame(load_contract("user_events"), sample(*GOOD["user_events"], key=None))
    assert failed(check("user_events", frame)) == {
        ("column_value_lengths_to_be_between", "key", "warning"),
        ("column_pair_values_to_be_equal", "key, value.user_id", "warning"),
    }
    unkeyed = raw_frame(load_contract("ad_events"), sample(*GOOD["ad_events"], key=None))
    assert failed(check("ad_events", unkeyed)) == set()


def test_offsets_that_the_topic_never_had_are_critical(check: Checker) -> None:
    frame = raw_frame(load_contract("logs"), RawSample(planned=10, beyond=10))
    assert failed(check("logs", frame)) == {("column_max_to_be_between", "beyond_offsets", "critical")}


def test_a_line_and_an_object_give_the_same_fields() -> None:
    contract = load_contract("logs")
    parsed = parse(contract, LINE)
    assert parsed is not None
    line = parse_line(LINE.decode())
    assert line is not None
    assert field_values(contract, parsed) == {
        "timestamp": line.time, "service": "checkout", "status_code": 502.0, "level": "ERROR", "ip_address": "10.0.3.7",
        "user_id": "user_017",
    }  # fmt: skip
    assert event_time(contract, parsed) == (MS // 1000) * 1_000_000
    assert parse(contract, b"no line") is None
    assert parse(load_contract("ad_events"), LINE) is None


def test_texts_of_records_are_kept_printable_and_short() -> None:
    contract = load_contract("ad_events")
    parsed = parse(contract, b'{"country": "\\ud800", "user_id": "' + b"u" * 5_000 + b'"}')
    assert parsed is not None
    found = field_values(contract, parsed)
    assert found["country"] == "\\ud800"
    assert found["user_id"] == "u" * TEXT_LIMIT


def test_a_script_in_a_record_is_text_on_the_page(tmp_path: Path) -> None:
    contract = load_contract("logs")
    evil = "<script>alert(1)</script>"
    record = json.dumps(LOG | {"level": evil, "service": evil, "status_code": 1}).encode()
    (loaded,) = [suite for suite in load_suites(contract) if suite.file.name == "raw_log"]
    runner = SuiteRunner(tmp_path, "logs")
    results = runner.check(
        loaded, raw_frame(contract, sample(record)), HOUR, expectation_parameters(contract, HOUR)
    )
    assert any(evil in r.observed for r in results)
    runner.build_site()
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    assert any("alert(1)" in page for page in pages)
    assert not [page for page in pages if evil in page]


@pytest.mark.parametrize(
    "contract", [*load_contracts(), *odd_contracts()], ids=lambda contract: str(contract.stream)
)
def test_what_the_contract_accepts_holds_by_plain_json_too(contract: Contract) -> None:
    """Records that parsers disagree about: the critical expectations never contradict the classifier."""
    classifier = Classifier(contract)
    accepted = 0
    for record in Surprises(contract, RUN_SEED, MOMENT).records(3_000):
        verdict = classifier.classify(record.value, record.kafka_ms)
        parsed = parse(contract, record.value)
        if not isinstance(verdict, Event):
            continue
        accepted += 1
        what = f"seed {RUN_SEED}: {record.value!r}"
        assert parsed is not None, what
        values = field_values(contract, parsed)
        assert broken(contract, parsed) == "", what
        assert event_time(contract, parsed) == verdict.time_us, what
        for name, rule in contract.fields.items():
            value = values.get(name)
            assert value is not None or not rule.required, f"{name} of {what}"
            if value is None:
                continue
            if isinstance(value, str):
                assert rule.allowed is None or value in rule.allowed, f"{name} of {what}"
                assert rule.min_length is None or len(value) >= rule.min_length, f"{name} of {what}"
            else:
                assert (rule.minimum or 0) <= value <= (rule.maximum or 0), f"{name} of {what}"
    assert accepted > 300


def test_a_contract_that_is_added_later_has_the_suite_without_more() -> None:
    contract = contract_of("sensor_readings")
    (suite,) = [found.file for found in load_suites(contract) if found.file.name == "raw_log"]
    columns = {entry.kwargs.get("column") for entry in suite.expectations}
    assert {"value.sensor_id", "value.site", "value.celsius", "value.measured_at"} <= columns
    assert parameters_used(suite) <= expectation_parameters(contract, HOUR).keys()
