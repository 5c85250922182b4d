"""A gateway on real TimescaleDB, Valkey and mosquitto, started as a process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.e2e.serving import Gateway, Simulator, environ_of, simulate
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
            environ = environ_of(
                timescale_db.url,
                valkey,
                tmp_path,
                GATEWAY_MQTT__URL=broker[0].url if mqtt else "",
                GATEWAY_HTTP__DRAIN_SECS="0.2",
            )
            gateway = Gateway(environ | settings, tmp_path / "gateway.log")
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
    environ = environ_of(own_timescale.url(), valkey, tmp_path, GATEWAY_MQTT__URL=start_mosquitto(Limits()).url)
    with closing(Gateway(environ, tmp_path / "gateway.log")) as made:
        yield made
