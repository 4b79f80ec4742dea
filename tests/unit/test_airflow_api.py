"""Triggering a run when Airflow's database is locked: it is asked for again, and made once."""

from __future__ import annotations

import json

import httpx
import pytest

from include.demo import airflow_api
from include.demo.airflow_api import AirflowApi, AirflowRunError


def api(monkeypatch: pytest.MonkeyPatch, answers: list[int], made: list[str]) -> AirflowApi:
    """Return a session whose triggers are answered by these status codes; `made` gets the names that were asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["dag_run_id"]
        made.append(name)
        return httpx.Response(answers.pop(0), json={"dag_run_id": name}, request=request)

    token = httpx.Response(201, json={"access_token": "t"}, request=httpx.Request("POST", "http://airflow"))
    monkeypatch.setattr(httpx, "post", lambda *_, **__: token)
    monkeypatch.setattr(airflow_api, "POLL_SECONDS", 0.0)
    found = AirflowApi("http://airflow", "admin", "secret")
    found._http = httpx.Client(base_url="http://airflow/api/v2", transport=httpx.MockTransport(answer))
    return found


@pytest.mark.parametrize("second", [200, 409])
def test_a_run_that_airflow_could_not_write_down_is_asked_for_again_by_its_name(
    monkeypatch: pytest.MonkeyPatch, second: int
) -> None:
    made: list[str] = []
    assert api(monkeypatch, [500, second], made).trigger("reconcile_hour") == made[0]
    assert len(made) == 2
    assert len(set(made)) == 1


@pytest.mark.parametrize(("answers", "asked"), [([400], 1), ([409], 1), ([500, 500, 500], 3)])
def test_what_is_refused_is_told(monkeypatch: pytest.MonkeyPatch, answers: list[int], asked: int) -> None:
    made: list[str] = []
    with pytest.raises(AirflowRunError, match="reconcile_hour was refused"):
        api(monkeypatch, answers, made).trigger("reconcile_hour")
    assert len(made) == asked
