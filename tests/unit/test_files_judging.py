"""What publish_files finds out about a file before it sends it, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.contracts import load_contract, stream_names
from include.contracts.classifier import Classifier, Event, Reject
from include.files import run, steps
from include.files.content import FileError, identify
from include.files.form import Form, parse_form
from include.files.inbox import InboxError
from include.files.refusals import event_hours, reach, refusals, too_slow
from include.files.report import ALREADY, PUBLISHED, REFUSED, FileOutcome, Report
from include.files.run import key_field
from include.files.survey import LineJudge, Survey, survey
from include.forms import FormError
from include.refusal import RefusedError
from include.traffic import Keyed, generator_for
from include.traffic.plan import parse_plan
from include.traffic.schedule import draw_schedule
from tests.helpers import ad_events, encoded

NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FORM = Form(stream="ad_events")


def click(ago: timedelta, **changes: object) -> bytes:
    """A click that happened so long before NOW."""
    return encoded(timestamp=f"{NOW - ago:%Y-%m-%dT%H:%M:%S.%f}", **changes)


def surveyed(folder: Path, *lines: bytes, timestamps: str = "event", stream: str = "ad_events") -> Survey:
    path = folder / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    contract = load_contract(stream)
    return survey(path, identify(path), contract, LineJudge(contract, timestamps, key_field(stream)))


def refused(found: Survey, form: Form = FORM, certified: tuple[datetime, ...] = ()) -> str:
    return "; ".join(refusals(found, ad_events(), form, certified, datetime.now(UTC)))


def test_by_event_a_record_has_its_event_time_and_one_from_the_future_stays_one() -> None:
    judge = LineJudge(ad_events(), "event", None)
    past = judge.judge(click(timedelta(hours=100)), NOW_MS)
    assert (past.kafka_ms, past.reason) == (NOW_MS - 360_000_000, "")
    ahead = judge.judge(click(timedelta(minutes=-5)), NOW_MS)
    assert (ahead.kafka_ms, ahead.reason) == (NOW_MS, "future")
    assert judge.judge(b"{", NOW_MS).kafka_ms == NOW_MS
    assert LineJudge(ad_events(), "now", None).judge(click(timedelta(hours=100)), NOW_MS).reason == "stale"


@pytest.mark.parametrize("timestamps", ["event", "now"])
@pytest.mark.parametrize("stream", stream_names())
def test_a_line_is_judged_as_the_stream_will_judge_its_record(stream: str, timestamps: str) -> None:
    faults = {"malformed": 0.1, "schema_breaking": 0.1, "future": 0.2}
    lines: list[bytes] = []
    for ago in (timedelta(hours=2), timedelta(hours=97)):
        start = NOW - ago
        plan = parse_plan(
            {"stream": stream, "rate": 10, "duration": 60, "start": start.isoformat(), **faults}
        )
        schedule = draw_schedule(plan, int(start.timestamp()) * 1_000_000, 2)
        lines += generator_for(stream).draw(schedule, 1, 1).values(0, schedule.size)
    contract = load_contract(stream)
    judge, classifier, seen = LineJudge(contract, timestamps, key_field(stream)), Classifier(contract), set()
    for line in lines:
        judged = judge.judge(line, NOW_MS)
        verdict = classifier.classify(line, judged.kafka_ms)
        assert judged.reason == (verdict.reason if isinstance(verdict, Reject) else ""), line
        assert not isinstance(verdict, Event) or judged.event_us == verdict.time_us
        assert judge.stamp(line, NOW_MS) == (judged.kafka_ms, judged.key)
        seen.add(judged.reason)
    assert {"", "malformed", "schema"} <= seen
    assert timestamps == "event" or "stale" in seen


def test_the_key_is_that_of_the_stream_s_generator() -> None:
    start = int(NOW.timestamp() * 1e6)
    schedule = draw_schedule(parse_plan({"stream": "user_events", "rate": 10, "duration": 20}), start, 2)
    traffic = generator_for("user_events").draw(schedule, 1, 1)
    assert isinstance(traffic, Keyed)
    judge = LineJudge(load_contract("user_events"), "event", key_field("user_events"))
    lines = traffic.values(0, schedule.size)
    assert [judge.judge(line, NOW_MS).key for line in lines] == traffic.keys(0, schedule.size)
    assert key_field("ad_events") is None
    assert key_field("a_stream_without_generator") is None


def test_a_survey_counts_lines_reasons_and_event_hours(tmp_path: Path) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    times = [f"{hour - timedelta(hours=h, minutes=1):%Y-%m-%dT%H:%M:%S}" for h in (1, 3, 3)]
    lines = [encoded(timestamp=text) for text in times]
    found = surveyed(tmp_path, b"", lines[0], b"{", lines[1], lines[2], encoded(country="XX"))
    assert (found.records, found.accepted, found.blank) == (5, 3, 1)
    assert dict(found.rejected) == {"malformed": 1, "schema": 1}
    assert found.first_rejected.startswith("line 3 is malformed (")
    assert event_hours(found) == [hour - timedelta(hours=4), hour - timedelta(hours=2)]
    assert found.oldest is not None
    assert found.oldest[1] == 4
    assert refused(found) == ""


def test_a_file_that_is_not_the_one_that_was_identified_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")
    identity = identify(path)
    path.write_bytes(b"[]\n")
    with pytest.raises(FileError, match=r"a\.jsonl: changed while it was read \(SHA-256"):
        survey(path, identity, ad_events(), LineJudge(ad_events(), "event", None))


def test_a_file_without_a_record_is_refused(tmp_path: Path) -> None:
    assert refused(surveyed(tmp_path, b"")) == "holds no record: remove it"
    assert refused(surveyed(tmp_path, b" ", b"")) == "holds no record but 1 blank lines: remove it"


def test_rejected_lines_are_published_unless_the_form_says_stop(tmp_path: Path) -> None:
    found = surveyed(tmp_path, click(timedelta(0)), b"{", b"[]")
    assert refused(found) == ""
    stop = Form(stream="ad_events", rejected_lines="stop")
    assert "would reject 2 of 3 lines (malformed 2): line 2 is malformed (" in refused(found, stop)


def test_what_would_be_stale_is_refused_and_can_be_stamped_with_its_event_time(tmp_path: Path) -> None:
    now = Form(stream="ad_events", timestamps="now")
    lines = [click(timedelta(0)), click(timedelta(hours=95, minutes=30))]
    found = surveyed(tmp_path, *lines, timestamps="now")
    assert "line 2 is of" in refused(found, now)
    assert "rejects as stale what arrives 96 hours late: choose timestamps `event`" in refused(found, now)
    assert refused(surveyed(tmp_path, *lines)) == ""
    assert refused(surveyed(tmp_path, click(timedelta(hours=94)), timestamps="now"), now) == ""


def test_what_kafka_would_lose_before_it_is_proved_is_refused(tmp_path: Path) -> None:
    assert refused(surveyed(tmp_path, click(timedelta(hours=143)))) == ""
    found = surveyed(tmp_path, click(timedelta(0)), click(timedelta(hours=145)))
    assert "can be stamped with its event time for 144 hours: ad-events would lose it" in refused(found)
    endless = ad_events().topic.model_copy(update={"config": {"retention.ms": "-1"}})
    assert reach(ad_events().model_copy(update={"topic": endless})) is None


def test_certified_hours_are_refused_unless_the_form_allows_them(tmp_path: Path) -> None:
    found = surveyed(tmp_path, *(click(timedelta(hours=hours)) for hours in range(7)))
    hours = tuple(event_hours(found))
    text = refused(found, certified=hours)
    assert f"certified ({hours[0]:%Y-%m-%dT%HZ}, " in text
    assert "and 2 more" in text
    assert refused(found, Form(stream="ad_events", certified_hours="allow"), hours) == ""
    assert refused(found, certified=(hours[0] - timedelta(hours=1),)) == ""


@pytest.mark.parametrize("limit", ["MOST_RECORDS", "MOST_BYTES"])
def test_a_file_beyond_one_transaction_is_refused_without_reading_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    line = click(timedelta(0))
    most = {"MOST_RECORDS": 2, "MOST_BYTES": 2 * len(line)}[limit]
    monkeypatch.setattr(f"include.files.survey.{limit}", most)
    assert surveyed(tmp_path, line, line).records == 2
    judged: list[bytes] = []
    judge = LineJudge.judge
    monkeypatch.setattr(LineJudge, "judge", lambda self, *args: judged.append(args[0]) or judge(self, *args))
    with pytest.raises(FileError, match=r"holds more than the .* that a transaction takes: split it"):
        surveyed(tmp_path, *[line] * 10)
    assert len(judged) == 3


def test_a_rate_that_takes_hours_is_refused() -> None:
    assert "36,001 records at 10 a second take 1.0 hours" in too_slow(36_001, 10)
    assert too_slow(36_000, 10) == too_slow(10**9, 0) == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [("pattern", "../other/*"), ("pattern", ""), ("timestamps", "then"), ("rate", -1), ("colour", "red")],
)
def test_a_wrong_form_is_refused_by_field_and_value(field: str, value: object) -> None:
    with pytest.raises(FormError, match=rf"{field} = {value!r}".replace("*", r"\*").replace(".", r"\.")):
        parse_form({"stream": "ad_events", field: value})


def test_a_report_says_what_became_of_each_file_and_explains_none() -> None:
    files = (
        FileOutcome("a.jsonl", PUBLISHED, "d1", 5, 1, {"malformed": 2}, ("2026-11-22T10Z",), "another file"),
        FileOutcome("b.jsonl", ALREADY, "d2", note="published at noon"),
        FileOutcome("c.jsonl", REFUSED, note="holds no record"),
    )
    report = Report("logs", "inbox/logs", "*", False, files, ("x.part",))
    figures = report.figures()
    assert figures["a.jsonl"] == (
        "published, 5 records, 1 blank lines skipped, of which the stream rejects 2 malformed: another file"
    )
    assert (figures["files"], figures["records"], figures["hours"]) == (3, "5", ["2026-11-22T10Z"])
    assert [item.name for item in report.refused] == ["c.jsonl"]
    plain = report.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["files"][1]["outcome"] == "already published"
    assert "none has a name that fits 'x*'" in str(Report("logs", "i", "x*", True, (), ()).figures()["files"])


class Run:
    run_id = "manual"


def test_a_folder_that_is_not_there_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def publish(*_: object) -> Report:
        raise InboxError("inbox/ad_events: No such file") from FileNotFoundError(2, "No such file")

    monkeypatch.setattr(run, "publish_files", publish)
    with pytest.raises(RefusedError, match=r"^inbox/ad_events: No such file$") as failed:
        steps.publish({"stream": "ad_events"}, Run())
    assert caplog.messages == ["refused: inbox/ad_events: No such file"]
    assert failed.value.__suppress_context__, "the trace shows the cause a second time"


def test_refused_files_are_named_each_on_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = (FileOutcome("a.jsonl", REFUSED, note="line 3: no"), FileOutcome("b.jsonl", PUBLISHED, records=2))
    monkeypatch.setattr(run, "publish_files", lambda *_: Report("ad_events", "in", "*", False, files, ()))
    with pytest.raises(RefusedError, match=r"^1 of 2 files were refused:\na.jsonl: line 3: no$"):
        steps.publish({"stream": "ad_events"}, Run())
    assert caplog.messages[-1] == "refused: 1 of 2 files were refused:\na.jsonl: line 3: no"
