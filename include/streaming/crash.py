"""Points at which a test may end the driver as a power cut would: demo and test only, off unless a setting allows it."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

from include.settings import Settings

log = logging.getLogger(__name__)

CRASH_FILE = "crash_at"


def crash_point(settings: Settings, name: str) -> None:
    """End the driver's JVM and this process with SIGKILL when <scratch_dir>/crash_at names this point.

    The names: `mid_deltas` (some of a batch's inserts are done), `before_ledger` (all but its ledger rows),
    `after_ledger` (committed, and Spark does not know it yet). The file is removed first, so that the
    next driver passes. Without `allow_inject_drift` no file is looked at.
    """
    if not settings.allow_inject_drift:
        return
    path = Path(settings.scratch_dir) / CRASH_FILE
    try:
        wanted = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return
    if name in wanted:
        path.unlink()
        log.warning("crash point %s: this driver ends now, as %s asked for", name, path)
        if os.getppid() > 1:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
