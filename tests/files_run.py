"""A run of publish_files in a process of its own, which ends by SIGKILL at a point of a test's choice.

python -m tests.files_run STREAM TOPIC POINT [SECONDS], with the settings in the environment. POINT: `sent` (all records
acknowledged, no marker), `marked` (the marker is sent, nothing committed), `committed` (no row says so yet). SECONDS:
after which Kafka ends the open transaction.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from include.contracts import load_contract
from include.files import run, transaction
from include.files.form import Form
from include.files.transaction import Ranges, Transaction
from include.settings import get_settings


def end(*_: Any, **__: Any) -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(point: str) -> None:
    """Make the product end at a point."""
    acknowledge, call = Transaction.acknowledge, Transaction._call

    def acknowledged(self: Transaction) -> Ranges:
        ranges = acknowledge(self)
        end()
        return ranges

    def called(self: Transaction, name: str, step: object) -> None:
        if name == "commit_transaction":
            self._producer.flush(30)
            end()
        call(self, name, step)

    if point == "sent":
        Transaction.acknowledge = acknowledged  # type: ignore[method-assign]
    elif point == "marked":
        Transaction._call = called  # type: ignore[method-assign]
    else:
        run.write_published = end  # type: ignore[assignment]


def main() -> None:
    """Publish and end on the way."""
    stream, topic, point, *seconds = sys.argv[1:]
    if seconds:
        transaction.TRANSACTION_SECONDS = int(seconds[0])
        transaction.ANSWER_SECONDS = min(transaction.ANSWER_SECONDS, float(seconds[0]))
    arrange(point)
    contract = load_contract(stream)
    contract = contract.model_copy(update={"topic": contract.topic.model_copy(update={"name": topic})})
    run.publish_files(get_settings(), Form(stream=stream), f"killed-{point}", contract)


if __name__ == "__main__":
    main()
