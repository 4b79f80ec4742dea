"""The notifiers that PLATFORM_NOTIFIERS lists: read, checked, and built for one message.

A notifier is any Airflow notifier class, for instance of a provider. Its arguments are Jinja
templates over Airflow's context and `incident` (key, stream, severity, title, message). They name
Airflow connections; a password has no place in them and is refused.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from include.settings import Settings

_SECRET = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s]*:[^/\s]*@")


class NotifiersError(ValueError):
    """PLATFORM_NOTIFIERS is wrong; the message says where, and never shows a value."""


class Channel(BaseModel):
    """One entry of PLATFORM_NOTIFIERS."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    class_path: str = Field(alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    arguments: dict[str, Any] = Field(default_factory=dict)

    @field_validator("arguments")
    @classmethod
    def _without_secrets(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        secret = [
            name for name, value in arguments.items() if _SECRET.search(name) or _LOGIN.search(str(value))
        ]
        if secret:
            raise ValueError(
                f"{', '.join(secret)} looks like a secret: keep it in an Airflow connection, and name that here"
            )
        return arguments

    def build(self) -> BaseNotifier:
        """Return a new notifier: rendering its templates changes it, so that each message takes its own.

        Raises:
            NotifiersError: there is no such class, or it does not take these arguments.
        """
        from airflow.sdk import BaseNotifier

        try:
            module, _, name = self.class_path.rpartition(".")
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise NotifiersError(f"PLATFORM_NOTIFIERS: {self.class_path}: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
            raise NotifiersError(f"PLATFORM_NOTIFIERS: {self.class_path} is no Airflow notifier class")
        try:
            notifier: BaseNotifier = kind(**self.arguments)
        except TypeError as error:
            raise NotifiersError(f"PLATFORM_NOTIFIERS: {self.class_path}: {error}") from error
        return notifier


def load_channels(settings: Settings) -> dict[str, Channel]:
    """Return the notifiers by name: their class, and its turn where a class is listed more than once.

    Raises:
        NotifiersError: the setting is no JSON list of {"class": ..., "arguments": {...}}.
    """
    try:
        listed = TypeAdapter(list[Channel]).validate_json(settings.notifiers)
    except ValidationError as error:
        faults = [
            f"PLATFORM_NOTIFIERS{''.join(f'[{part!r}]' for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise NotifiersError("; ".join(faults)) from None
    named: dict[str, Channel] = {}
    for channel in listed:
        turn = sum(known.class_path == channel.class_path for known in named.values())
        named[f"{channel.class_path}#{turn + 1}" if turn else channel.class_path] = channel
    return named
