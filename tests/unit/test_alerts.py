"""PLATFORM_NOTIFIERS: what is read of it, what is refused, and what is done without a warehouse."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from include.alerts import telling
from include.alerts.channels import NotifiersError, load_channels
from include.alerts.incidents import Incident
from include.alerts.notifier import IncidentNotifier
from include.settings import Settings
from include.watch.report import NotCheckedError, StreamUnhealthyError

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
INCIDENT = Incident(key="stream:s", stream="s", severity="critical", title="s is gone", message="why")


def configured(*listed: Any) -> Settings:
    return Settings(notifiers=json.dumps(listed))


def test_by_default_nobody_is_told() -> None:
    assert load_channels(Settings()) == {}


def test_an_entry_is_a_notifier_class_with_its_arguments() -> None:
    (channel,) = load_channels(configured({"class": SMTP, "arguments": {"to": "a@b.example"}})).values()
    notifier = channel.build()
    assert isinstance(notifier, SmtpNotifier)
    assert notifier.to == "a@b.example"


def test_a_class_that_is_listed_twice_has_two_names() -> None:
    twice = [{"class": SMTP, "arguments": {"to": to}} for to in ("a@b.example", "c@d.example")]
    assert list(load_channels(configured(*twice))) == [SMTP, f"{SMTP}#2"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "PLATFORM_NOTIFIERS: Invalid JSON"),
        ("{}", "PLATFORM_NOTIFIERS: .* array"),
        ("[{}]", r"PLATFORM_NOTIFIERS\[0\]\['class'\]: Field required"),
        ('[{"class": "no dots"}]', r"PLATFORM_NOTIFIERS\[0\]\['class'\]"),
        ('[{"class": "a.B", "argument": {}}]', r"PLATFORM_NOTIFIERS\[0\]\['argument'\]: Extra"),
        ('[{"class": "a.B", "arguments": {"password": "hunter2"}}]', "password looks like a secret"),
        ('[{"class": "a.B", "arguments": {"url": "http://u:hunter2@h"}}]', "url looks like a secret"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place_and_without_its_values(text: str, fault: str) -> None:
    with pytest.raises(NotifiersError, match=fault) as caught:
        load_channels(Settings(notifiers=text))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"class": "no.such.Notifier"}, "No module named"),
        ({"class": "include.settings.Nothing"}, "Nothing"),
        ({"class": "include.settings.Settings"}, "is no Airflow notifier class"),
        ({"class": SMTP, "arguments": {"unknown": 1, "to": "x"}}, "unknown"),
    ],
)
def test_a_class_that_cannot_be_used_is_named(entry: dict[str, Any], fault: str) -> None:
    (channel,) = load_channels(configured(entry)).values()
    with pytest.raises(NotifiersError, match=fault):
        channel.build()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Airflow's variables and the sending, at their edges; ClickHouse refuses, since unit tests reach nothing."""
    kept: dict[str, str] = {}
    sent: list[str] = []

    def send(_: Any, incident: Incident, name: str, __: Any) -> bool:
        sent.append(f"{name}: {incident.title}")
        return True

    class Variables:
        @staticmethod
        def get(key: str, default: str | None) -> str | None:
            return kept.get(key, default)

        @staticmethod
        def set(key: str, value: str) -> None:
            kept[key] = value

    def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("no warehouse")

    monkeypatch.setattr(telling, "Variable", Variables)
    monkeypatch.setattr(telling, "_send", send)
    monkeypatch.setattr(telling, "open_incident", away)
    return SimpleNamespace(kept=kept, sent=sent)


def test_without_a_warehouse_an_incident_is_still_told_once(outside: SimpleNamespace) -> None:
    settings = configured({"class": SMTP, "arguments": {"to": "x"}})
    for _ in range(3):
        telling.tell_once({}, [INCIDENT], settings)
    assert outside.sent == [f"{SMTP}: s is gone"]
    assert json.loads(outside.kept[telling.TOLD]) == {"stream:s": [SMTP]}


def test_a_task_that_fails_hands_over_the_incidents_of_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Incident] = []
    monkeypatch.setattr(telling, "tell_once", lambda _, incidents: given.extend(incidents))
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r")
    IncidentNotifier().notify({"ti": ti, "exception": StreamUnhealthyError([INCIDENT])})  # type: ignore[typeddict-item]
    IncidentNotifier().notify({"ti": ti, "exception": KeyError("x")})  # type: ignore[typeddict-item]
    IncidentNotifier().notify({"ti": ti, "exception": NotCheckedError()})  # type: ignore[typeddict-item]
    IncidentNotifier().notify({"ti": ti})  # type: ignore[typeddict-item]
    assert [item.key for item in given] == ["stream:s", "task:d.t", "task:d.t"]
    assert "KeyError" in given[1].message
