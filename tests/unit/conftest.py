"""What every unit test begins with: the settings of a clone that runs alone."""

from __future__ import annotations

import pytest

from include.local.layout import PORT_OFFSET


@pytest.fixture(autouse=True)
def own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that a clone beside this one may have had its ports raised."""
    monkeypatch.delenv(PORT_OFFSET, raising=False)
