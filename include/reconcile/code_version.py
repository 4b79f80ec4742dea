"""Which code made a certificate."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from include.settings import PROJECT_ROOT

PACKAGE = "proved-aggregates"
UNKNOWN = "unknown"


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the git commit of this checkout, with -dirty where files differ from it; else the package's version."""
    try:
        found = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return _package_version()
    return found.stdout.strip() if found.returncode == 0 and found.stdout.strip() else _package_version()


def _package_version() -> str:
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return UNKNOWN
