"""The crash points: never without the setting, else the end of the parent and of the process itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT, Settings
from include.streaming.crash import CRASH_FILE, crash_point

CHILD = """
import sys
from include.settings import Settings
from include.streaming.crash import crash_point
for point in ("mid_deltas", "before_ledger"):
    print(point, flush=True)
    crash_point(Settings(allow_inject_drift=True, scratch_dir=sys.argv[1]), point)
print("alive", flush=True)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]]); print('alive')"


def crashed(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the child under a parent of its own, as the driver's Python runs under its JVM."""
    return subprocess.run(
        [sys.executable, "-c", PARENT, CHILD, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PROJECT_ROOT,
        check=False,
    )


def test_a_point_that_is_named_ends_parent_and_process_once(tmp_path: Path) -> None:
    (tmp_path / CRASH_FILE).write_text("before_ledger")
    first = crashed(tmp_path)
    assert (first.returncode, first.stdout.split()) == (-signal.SIGKILL, ["mid_deltas", "before_ledger"])
    assert not (tmp_path / CRASH_FILE).exists(), "the next driver would end there too"
    second = crashed(tmp_path)
    assert (second.returncode, second.stdout.split()[-2:]) == (0, ["alive", "alive"]), second


@pytest.mark.parametrize("content", ["after_ledger", "before_ledger_", ""])
def test_another_point_is_passed(tmp_path: Path, content: str) -> None:
    (tmp_path / CRASH_FILE).write_text(content)
    crash_point(Settings(allow_inject_drift=True, scratch_dir=tmp_path), "before_ledger")
    assert (tmp_path / CRASH_FILE).exists()


def test_without_the_setting_no_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CRASH_FILE).write_text("before_ledger")

    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_text", refuse)
    crash_point(Settings(allow_inject_drift=False, scratch_dir=tmp_path), "before_ledger")
