"""What the DAG check_quality calls: groups what was asked for by stream, checks all of it, then fails if it must."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from include.forms import FormError
from include.quality.hours import NothingToCheckError, parse_hours
from include.quality.report import QualityFailedError
from include.quality.run import check_hours
from include.refusal import refuse
from include.settings import get_settings

log = logging.getLogger(__name__)


def check_requested(requested: Iterable[tuple[str, str]]) -> None:
    """Check (stream, hours as text) pairs; an empty text means the stream's newest certified hours, if it has any.

    Every stream is checked before the first failure is raised.

    Raises:
        QualityFailedError: a critical expectation failed, or a suite could not be checked.
        RefusedError: an hour is none, or no hour was named and no stream has a certified one.
    """
    hours: dict[str, list[datetime]] = defaultdict(list)
    try:
        for stream, text in requested:
            hours[stream] += parse_hours(text)
    except FormError as error:
        refuse(error)
    failures: list[QualityFailedError] = []
    without: list[NothingToCheckError] = []
    for stream, wanted in hours.items():
        try:
            check_hours(get_settings(), stream, sorted(set(wanted)))
        except QualityFailedError as failure:
            failures.append(failure)
        except NothingToCheckError as nothing:
            log.info("%s", nothing)
            without.append(nothing)
    if without and len(without) == len(hours):
        refuse(without[0])
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("quality of several streams", failures)
