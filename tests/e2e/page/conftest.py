"""One gateway and one browser for all tests of the page: starting them takes longer than most of the tests."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.browser import ground
from tests.browser.chromium import Chromium
from tests.browser.tab import Tab
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.servers.databases import Database, Databases
from tests.servers.mosquitto import Mosquitto


@pytest.fixture(scope="package")
def browser() -> Iterator[Chromium]:
    yield from ground.browsers()


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    with browser.tab() as tab:
        yield tab


@pytest.fixture(scope="package")
def page_database(timescale_databases: Databases) -> Iterator[Database]:
    with asyncio.Runner() as runner:
        migrated = timescale_databases.migrated()
        yield runner.run(migrated.__aenter__())
        runner.run(migrated.__aexit__(None, None, None))


@pytest.fixture(scope="package")
def site(
    browser: Chromium,
    page_database: Database,
    valkey_server: ValkeyServer,
    mosquitto: Mosquitto,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Use devices of your own; what is not registered is refused."""
    folder = tmp_path_factory.mktemp("page")
    environ = {
        "GATEWAY_DATABASE__URL": page_database.url,
        "GATEWAY_REDIS__URL": valkey_server.url(),
        "GATEWAY_MQTT__URL": mosquitto.url,
        "GATEWAY_MQTT__CLIENT_ID": "page-gateway",
        "GATEWAY_AUTH__ADMIN_KEY": ADMIN_KEY,
        "GATEWAY_HTTP__WORKERS": "2",
        "GATEWAY_HTTP__DRAIN_SECS": "0",
        "GATEWAY_SPOOL__DIR": str(folder / "spool"),
    }
    gateway = Gateway(environ, folder / "gateway.log")
    try:
        gateway.start()
        with Site(gateway) as site:
            yield site
    finally:
        gateway.close()
