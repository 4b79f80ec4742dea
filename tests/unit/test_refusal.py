"""What a user can mend stands in the task's log as one plain line, and is not tried again."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.alerts.notifier import _incidents
from include.refusal import RefusedError, refuse


def test_a_refusal_is_said_in_one_line_and_fails_for_good(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AirflowFailException, match=r"^start is later than end$") as failed:
        refuse(ValueError("start is later than end"))
    assert caplog.messages == ["refused: start is later than end"]
    assert failed.value.__suppress_context__, "the trace shows the cause a second time"


def test_a_refusal_is_told_to_nobody_but_its_user() -> None:
    assert _incidents({"exception": RefusedError("start is later than end")}) == ()
