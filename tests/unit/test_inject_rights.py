"""Who may damage: viewers may look at inject_drift and not trigger it, under the auth manager that the platform uses."""

from __future__ import annotations

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser


@pytest.mark.parametrize(
    ("role", "allowed"), [("viewer", False), ("user", True), ("admin", True), (None, False)]
)
def test_triggering_inject_drift_needs_more_than_a_viewers_role(role: str | None, allowed: bool) -> None:
    triggers = SimpleAuthManager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id="inject_drift"),
        user=SimpleAuthManagerUser(username="someone", role=role),
    )
    assert triggers == allowed
