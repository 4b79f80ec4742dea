"""Live traffic without an end: short runs, each drawn to begin where the one before it ended.

A broker that is away for minutes delays the records and loses none; their Kafka timestamps stay the
instants at which they were due. Owns: the succession of runs, and their accounts until they are stored.
"""

from __future__ import annotations

import logging
import threading
import time

from clickhouse_driver.errors import Error
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_delay, wait_fixed

from include.contracts import load_contract
from include.settings import Settings
from include.traffic import generator_for
from include.traffic.plan import TrafficPlan
from include.traffic.run import LEAD_US, send_run
from include.traffic.send import Sender
from include.traffic.store import Account, store_accounts
from include.warehouse.client import connect

log = logging.getLogger(__name__)

RUN_SECONDS = 2.0
DELIVERY_SECONDS = 300.0


class SteadyTraffic(threading.Thread):
    """Sends `rate` events a second from `start` to `stop`; `stop` returns once the account is stored."""

    def __init__(self, settings: Settings, stream: str, rate: float, **shares: float) -> None:
        super().__init__(name=f"traffic-{stream}", daemon=True)
        self._settings, self._contract = settings, load_contract(stream)
        self._plan = TrafficPlan(stream=stream, rate=rate, duration=RUN_SECONDS, **shares)
        self._ended = threading.Event()
        self._accounts: list[Account] = []
        self._failure: Exception | None = None

    def run(self) -> None:
        try:
            sender = Sender(
                self._settings.kafka_bootstrap_servers, self._contract.topic.name, DELIVERY_SECONDS
            )
            partitions = sender.count_partitions()
            generator = generator_for(self._plan.stream)
            start_us = time.time_ns() // 1000 + LEAD_US
            while not self._ended.is_set():
                plan = self._plan.model_copy(update={"seed": start_us})
                self._accounts.append(send_run(sender, generator, plan, start_us, partitions))
                start_us += int(RUN_SECONDS * 1_000_000)
        except Exception as error:
            self._failure = error

    @property
    def sent(self) -> int:
        """Records sent and acknowledged by now."""
        return sum(account.report.sent for account in self._accounts)

    def stop(self) -> int:
        """End after the run under way, store the account of all, and return how many records were sent.

        Raises:
            DeliveryError: records were not acknowledged within 300 s; the account lacks their run.
            clickhouse_driver.errors.Error: ClickHouse did not take the account within 60 s.
        """
        self._ended.set()
        self.join()
        if self._accounts:
            self._store()
        if self._failure is not None:
            raise self._failure
        return self.sent

    @retry(
        retry=retry_if_exception_type((Error, OSError, EOFError)),
        wait=wait_fixed(1),
        stop=stop_after_delay(60),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    def _store(self) -> None:
        client = connect(self._settings)
        # Without the instants of each event: they are for measuring latency, and would be millions.
        store_accounts(client, [Account(a.report, a.truth, []) for a in self._accounts])
        client.disconnect()
