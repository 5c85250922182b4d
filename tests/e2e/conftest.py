"""A gateway on real TimescaleDB, Valkey and mosquitto, started as a process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.serving import ADMIN_KEY, Gateway, Simulator, simulate
from tests.servers.databases import Database
from tests.servers.mosquitto import Limits, Mosquitto
from tests.servers.postgres import DatabaseServer

Serve = Callable[..., Gateway]
Run = Callable[..., Simulator]


@pytest.fixture
def serve(
    timescale_db: Database, valkey: str, start_mosquitto: Callable[[Limits], Mosquitto], tmp_path: Path
) -> Iterator[Serve]:
    """Start a gateway with these settings more; all of one test share database, Valkey and broker."""
    broker: list[Mosquitto] = []
    with ExitStack() as stack:

        def start(*, mqtt: bool = True, **settings: str) -> Gateway:
            if mqtt and not broker:
                broker.append(start_mosquitto(Limits()))
            environ = {
                "GATEWAY_DATABASE__URL": timescale_db.url,
                "GATEWAY_REDIS__URL": valkey,
                "GATEWAY_MQTT__URL": broker[0].url if mqtt else "",
                "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
                "GATEWAY_DEVICES__UNKNOWN": "auto",
                "GATEWAY_HTTP__DRAIN_SECS": "0.2",
                "GATEWAY_SPOOL__DIR": str(tmp_path / "spool"),
            } | settings
            gateway = Gateway(environ, tmp_path / "gateway.log")
            stack.callback(gateway.close)
            gateway.start()
            return gateway

        yield start


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a simulator against a gateway."""
    with ExitStack() as stack:

        def start(gateway: Gateway, *options: str) -> Simulator:
            simulator = simulate(gateway, tmp_path, *options)
            stack.callback(simulator.close)
            return simulator

        yield start


@pytest.fixture
def gateway(
    own_timescale: DatabaseServer, valkey: str, start_mosquitto: Callable[[Limits], Mosquitto], tmp_path: Path
) -> Iterator[Gateway]:
    """A gateway, not started, on a database server that the test may stop."""
    environ = {
        "GATEWAY_DATABASE__URL": own_timescale.url(),
        "GATEWAY_REDIS__URL": valkey,
        "GATEWAY_MQTT__URL": start_mosquitto(Limits()).url,
        "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
        "GATEWAY_DEVICES__UNKNOWN": "auto",
        "GATEWAY_SPOOL__DIR": str(tmp_path / "spool"),
    }
    with ExitStack() as stack:
        made = Gateway(environ, tmp_path / "gateway.log")
        stack.callback(made.close)
        yield made
