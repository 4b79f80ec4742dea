"""Ends a task for good where its user, and no retry, can mend the cause; what is wrong stands above Airflow's trace."""

from __future__ import annotations

import logging
from typing import NoReturn

from airflow.sdk.exceptions import AirflowFailException

log = logging.getLogger(__name__)


class RefusedError(AirflowFailException):
    """A form or an order that cannot be carried out; whoever triggered it reads the log, and nobody else is told."""

    incidents = ()


def refuse(error: Exception) -> NoReturn:
    """Log what is wrong on a line of its own and fail the task without a retry.

    Raises:
        RefusedError: always, with the text of `error`.
    """
    log.error("refused: %s", error)
    raise RefusedError(str(error)) from None
