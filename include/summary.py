"""The one aligned summary that a task or a job ends with."""

from __future__ import annotations

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)


def log_summary(title: str, figures: Mapping[str, object]) -> None:
    """Log each figure on its own line, aligned; a sequence is shown as its length and its items."""
    width = max((len(name) for name in figures), default=0)
    log.info("%s", title)
    for name, value in figures.items():
        log.info("  %s  %s", name.ljust(width), _text(value))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value)}: {', '.join(str(item) for item in value)}" if value else "none"
    return str(value)
