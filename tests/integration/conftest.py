"""In: the servers of the session. Out: a whole gateway for each file of tests that asks for it, empty for each test."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.app.dev_servers.valkey import ValkeyServer
from tests.builders.mqtt.parts import ScriptedIntake
from tests.fakes.scripted_broker import ScriptedBroker, scripted_broker
from tests.integration.web_server import Door
from tests.integration.web_wire import Wire
from tests.integration.whole_gateway import Whole, empty, settings_of, whole
from tests.servers.databases import Database, Databases


class Shared(NamedTuple):
    """A gateway and its database."""

    database: Database
    gateway: Whole


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    plain_databases: Databases, valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shared]:
    """A whole gateway on plain PostgreSQL; tests that use it run in the loop of their module."""
    async with plain_databases.migrated() as database:
        settings = settings_of(database.url, valkey_server.url(), tmp_path_factory.mktemp("spool"))
        async with whole(settings) as gateway:
            yield Shared(database, gateway)


@pytest_asyncio.fixture(loop_scope="module")
async def registry(shared: Shared) -> Whole:
    """A whole gateway whose registry is empty."""
    await empty(shared.database.url)
    return shared.gateway


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    """A broker that does what the test says."""
    async with scripted_broker() as one:
        yield one


@pytest.fixture(params=[False, True], ids=["in a task", "at once"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test see both ways that an MQTT message may go."""
    monkeypatch.setattr(ScriptedIntake, "hurries", request.param)


@pytest_asyncio.fixture
async def wire(door: Door) -> AsyncIterator[Wire]:
    """A connection to the server that the file of tests runs."""
    wire = await door.raw()
    yield wire
    await wire.close()
