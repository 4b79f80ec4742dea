"""Says when watch_stream has stopped looking, paused or without a scheduler: then nothing relaunches a stream."""

from __future__ import annotations

import logging

from include.clock import now_ms
from include.settings import Settings
from include.warehouse.client import connect
from include.watch.store import last_check

log = logging.getLogger(__name__)

SILENT_MS = 180_000  # it looks every minute
KEPT_MS = 30 * 86_400_000  # as long as checks are kept


def warn_of_silence(settings: Settings) -> None:
    """Warn when the last look at any stream is older than SILENT_MS; a platform that never looked is new."""
    client, now = connect(settings), now_ms()
    try:
        looked = last_check(client, now - KEPT_MS)
    finally:
        client.disconnect()
    if sentence := silence(looked, now):
        log.warning("%s", sentence)


def silence(looked: int, now: int) -> str:
    """Return what is to be said of a last look, epoch milliseconds, 0 if never; empty when it looks."""
    if not looked or now - looked <= SILENT_MS:
        return ""
    minutes = (now - looked) // 60_000
    return (
        f"watch_stream last looked {minutes} min ago: while it is paused, nothing relaunches a stream that dies, and "
        "nobody is told"
    )
