"""`python -m include.local up|down|status|logs|clean`: what `make` calls."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time

from include.local.layout import Layout
from include.local.platform import SERVICE_NAMES, down, states, up
from include.local.programs import find_tools
from include.local.service import LocalPlatformError
from include.local.summary import summary


def _say(line: str) -> None:
    print(line, flush=True)


def _up(layout: Layout) -> int:
    since = time.monotonic()
    _say("Starting the local platform")
    tools = up(layout, _say)
    _say(summary(layout, tools, time.monotonic() - since))
    return 0


def _down(layout: Layout) -> int:
    down(layout, _say)
    _say("The local platform is down; its data stays in .local (`make clean` removes it).")
    return 0


def _status(layout: Layout) -> int:
    found = states(layout, find_tools(_say))
    for state in found:
        if state.pid is None:
            _say(f"  {state.name:<24} down")
        else:
            condition = "ready" if state.missing is None else f"waits for {state.missing}"
            _say(f"  {state.name:<24} pid {state.pid:<8} up {state.seconds / 60:7.1f} min  {condition}")
    return 0 if all(state.missing is None for state in found) else 1


def _logs(layout: Layout) -> int:
    files = [str(path) for path in sorted(layout.logs.glob("*.log"))]
    if not files:
        raise LocalPlatformError(f"there is no log in {layout.logs} yet: run `make up`")
    _say("Following (end with Ctrl-C): " + " ".join(files))
    try:
        return subprocess.run(["tail", "-n", "5", "-F", *files], check=False).returncode
    except KeyboardInterrupt:
        return 0


def _clean(layout: Layout) -> int:
    down(layout, _say)
    shutil.rmtree(layout.home, ignore_errors=True)
    _say(f"{layout.home} is removed.")
    return 0


def main() -> int:
    """Run one command; return the exit code."""
    commands = {
        "up": _up,
        "down": _down,
        "status": _status,
        "logs": _logs,
        "clean": _clean,
    }
    parser = argparse.ArgumentParser(prog="python -m include.local", description=", ".join(SERVICE_NAMES))
    parser.add_argument("command", choices=commands)
    try:
        return commands[parser.parse_args().command](Layout())
    except LocalPlatformError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
