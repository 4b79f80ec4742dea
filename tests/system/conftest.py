"""The whole platform as one fixture: Airflow's API, the settings, and what the failure tests do to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from clickhouse_driver import Client

from include.contracts import Contract, load_contract, stream_names
from include.demo.airflow_api import AirflowApi
from include.demo.steps import Demo, DemoSize
from include.demo.streams import StreamBalance, stream_balance
from include.demo.truth import Comparison, compare_with_truth
from include.local.airflow import USER
from include.local.damage import Damage
from include.local.layout import HOST, Layout
from include.local.secrets import load_secrets
from include.settings import Settings, get_settings
from include.spark.cluster import read_cluster
from include.spark.progress import running_launches
from include.streaming.ledger import read_position
from include.topics.offsets import Offsets
from include.warehouse.client import connect
from tests.conftest import platform_environment
from tests.helpers import eventually

STREAM = "ad_events"


@dataclass(frozen=True)
class Platform:
    """The running platform as a user and a saboteur have it; contract: of the stream that its methods look at."""

    api: AirflowApi
    settings: Settings
    contract: Contract
    layout: Layout
    damage: Damage

    def looking_at(self, stream: str) -> Platform:
        """Return the same platform, looking at another stream."""
        return replace(self, contract=load_contract(stream))

    def demo(self, size: DemoSize) -> Demo:
        """Return the demo's steps with this much traffic."""
        return Demo(self.api, self.settings, [self.contract], size, print)

    def client(self) -> Client:
        """Return a new connection to ClickHouse."""
        return connect(self.settings)

    def lag(self) -> int:
        """Return how many offsets are not yet committed."""
        client = self.client()
        frontier = read_position(client, self.contract.stream).frontier
        client.disconnect()
        ends = Offsets(self.settings, self.contract.topic.name).ends()
        return sum(max(0, end - frontier.get(partition, 0)) for partition, end in ends.items())

    def catch_up(self, limit_seconds: float = 300) -> None:
        """Wait until every record in the topic is committed."""
        eventually(lambda: self.lag() == 0, "every record is committed", limit_seconds, 1.0)

    def balance(self) -> StreamBalance:
        """Return the stream's balance over its whole ledger."""
        client = self.client()
        balance, _ = stream_balance(client, self.contract)
        client.disconnect()
        return balance

    def comparison(self) -> Comparison:
        """Compare all that is served with all that was ever sent."""
        client = self.client()
        comparison = compare_with_truth(client, self.contract)
        client.disconnect()
        return comparison

    def generation(self) -> int:
        """Return the highest generation that has taken over."""
        client = self.client()
        generation = read_position(client, self.contract.stream).generation
        client.disconnect()
        return generation

    def driver_processes(self) -> list[psutil.Process]:
        """Return the JVMs of streaming drivers on this machine that belong to this platform."""
        return [driver.jvm for driver in self.damage.drivers()]

    def assert_one_driver(self, limit_seconds: float = 30) -> None:
        """One driver carries the stream, for the master and as a process; others have left within the limit."""

        def one() -> bool:
            known = read_cluster(self.settings).drivers_of(STREAM)
            return len(known) == len(self.driver_processes()) == 1

        eventually(one, "one driver is left", limit_seconds, 1.0)

    def assert_nothing_differs(self) -> None:
        """Served figures equal what was sent, and every offset is explained."""
        comparison, balance = self.comparison(), self.balance()
        assert comparison.compared > 0, "nothing is served"
        assert comparison.unequal == 0, "\n".join(comparison.examples)
        assert balance.unexplained == 0, balance


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """The platform that `make up` started, with topics and tables prepared."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform_environment().items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        layout = Layout()
        address = f"http://{HOST}:{layout.ports.airflow}"
        api = AirflowApi(address, USER, load_secrets(layout.secrets).airflow_password)
        platform = Platform(api, get_settings(), load_contract(STREAM), layout, Damage(layout))
        platform.demo(DemoSize()).prepare()
        others = [stream for stream in stream_names() if stream != STREAM]
        if running_launches(
            platform.settings, others
        ):  # a driver that also carries them would outlive a takeover
            platform.api.run("stop_stream", {"streams": others})
        yield platform
        get_settings.cache_clear()


@pytest.fixture
def streaming(platform: Platform) -> Platform:
    """The platform with the streaming job running; launched through Airflow where it does not run."""
    if not running_launches(platform.settings, [STREAM]):
        platform.api.run("launch_stream", {"streams": [STREAM]})
    return platform


def data_docs(settings: Settings) -> Path:
    """Return the first page of the quality report."""
    return Path(settings.artifacts_dir) / "data_docs" / "index.html"
