"""Settings: every one is documented in .env.example, and wrong ones are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from pydantic import SecretStr, ValidationError

from include.settings import PREFIX, PROJECT_ROOT, Settings, UnknownSettingError, get_settings


@pytest.fixture(autouse=True)
def _settings_read_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def _example() -> dict[str, str]:
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_example_names_every_setting_and_no_other() -> None:
    assert sorted(_example()) == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_example_says_what_each_setting_is_and_who_uses_it() -> None:
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    for above, line in pairwise(lines):
        if line.startswith(PREFIX):
            assert above.startswith("# "), f"{line}: no remark above it"
            assert "Used by: " in above, f"{line}: its remark does not say who uses it"


def test_example_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    monkeypatch.chdir(PROJECT_ROOT)
    for name, value in _example().items():
        monkeypatch.setenv(name, value)
    example = get_settings()
    for name in Settings.model_fields:
        expected, actual = getattr(defaults, name), getattr(example, name)
        if name in ("artifacts_dir", "inbox"):
            actual = actual.resolve()
        assert actual == expected, f".env.example differs from the default of {name}"


def test_unknown_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_KAFKA_BROKERS", "x:1")
    with pytest.raises(UnknownSettingError, match=r"PLATFORM_KAFKA_BROKERS.*\.env\.example"):
        get_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLICKHOUSE_PORT", "70000"), ("CLICKHOUSE_DATABASE", "a; DROP"), ("HEARTBEAT_SECONDS", "0")],
)
def test_value_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        get_settings()


def test_password_is_not_shown() -> None:
    assert "hidden-word" not in repr(Settings(clickhouse_password=SecretStr("hidden-word")))
