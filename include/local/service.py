"""What a service of the local platform is: a command, its surroundings, and how to see it ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """One long-running process.

    `ready` returns None once the service does its work, else what is still missing;
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    log: Path
    ready: Callable[[], str | None]
    limit_seconds: float
    ports: tuple[int, ...] = ()


def nothing_to_prepare() -> None:
    """Preparation of a component that needs none."""


@dataclass(frozen=True)
class Component:
    """Services that start together, after one idempotent preparation."""

    name: str
    services: tuple[Service, ...] = ()
    prepare: Callable[[], None] = nothing_to_prepare


class LocalPlatformError(RuntimeError):
    """Something the local platform needs is missing or failed; the message says how to mend it."""
