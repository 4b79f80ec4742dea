"""Names of databases and topics that tests make, and the removal of those that an interrupted run left behind.

A name holds the moment at which it was made, so that what another run is using is told from what nobody uses.
"""

from __future__ import annotations

import re
import time
import uuid

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from include.settings import Settings
from include.warehouse.client import connect

STALE_SECONDS = 3 * 3600
_NAME = re.compile(r"test[-_](?:control-)?(?P<made>[0-9a-f]{8})[0-9a-f]{8}(-[a-z-]+)?")


def fresh_suffix() -> str:
    """Return 16 hexadecimal digits, now in seconds and by chance: test_<suffix>, test-<suffix>, test-control-<suffix>."""
    return f"{int(time.time()):08x}{uuid.uuid4().hex[:8]}"


def is_stale(name: str, now: float) -> bool:
    """Whether this is the name of a test's database or topic that no run can still be using (now: epoch seconds)."""
    found = _NAME.fullmatch(name)
    return found is not None and now - int(found["made"], 16) > STALE_SECONDS


def remove_stale(settings: Settings) -> None:
    """Drop stale databases and delete stale topics; another run may be doing the same."""
    now = time.time()
    client = connect(settings, database="")
    for (name,) in client.execute("SHOW DATABASES"):
        if is_stale(name, now):
            client.execute(f"DROP DATABASE IF EXISTS {name}")
    client.disconnect()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    stale = [name for name in admin.list_topics(timeout=30).topics if is_stale(name, now)]
    for done in admin.delete_topics(stale).values() if stale else ():
        try:
            done.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
