"""Real servers for every test that asks for one. A test that cannot have its server is skipped with the reason."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
import redis.asyncio
import structlog
from hypothesis import settings

from gateway.app.dev_servers.postgres import PostgresServer
from gateway.app.dev_servers.valkey import ValkeyServer
from tests.servers import choose, postgres
from tests.servers.databases import Database, Databases, databases_of, migrate_days
from tests.servers.errors import NoGroundError
from tests.servers.influx import influx
from tests.servers.mosquitto import Limits, Mosquitto
from tests.servers.postgres import PLAIN_TUNING, TIMESCALE_TUNING, DatabaseServer

pytest_plugins = ["tests.reporting"]

Server = TypeVar("Server")
_SHARED = {"fsync": "off"}
"""Nobody kills a shared server, so nothing waits for the disk: what must outlive a kill has a server of its own."""
_LONG_FIRST = ("e2e", "chaos", "local", "docs", "servers", "integration", "contract", "property")
"""Folders of the longest files: begun last, one of them would leave the other processes idle."""

# By default structlog draws a coloured box with the locals of every frame around an exception: 15 ms each.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Let files be handed out as they are collected: by number of tests, those of one long test would come last."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    root = Path(__file__).parent
    places = {name: place for place, name in enumerate(_LONG_FIRST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(root).parts[0], len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What the imports make stays for good: no look for garbage goes through half a million objects of them."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def have(find: Callable[[], AbstractContextManager[Server]]) -> AbstractContextManager[Server]:
    """The ground, or a skip; ``REQUIRE_TIMESCALEDB=1`` (CI sets it) makes the skip a failure."""
    try:
        return find()
    except NoGroundError as error:
        if os.environ.get("REQUIRE_TIMESCALEDB") == "1":
            pytest.fail(f"REQUIRE_TIMESCALEDB=1, but {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What a module leaves open fails there (ResourceWarning), not whenever the collector happens to run."""
    yield
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _nothing_undeclared() -> Iterator[None]:
    """What a module counts under a label that is not declared fails there: such a series does not begin at zero."""
    yield
    declared = sys.modules.get("gateway.telemetry.declared")  # only tests that count anything pay for it
    if declared is not None:
        found = sorted(declared.UNDECLARED)
        declared.UNDECLARED.clear()
        assert not found


@pytest.fixture(scope="module")
def made_up_labels() -> Iterator[None]:
    """For modules that count under labels of their own making, on purpose."""
    yield
    declared = sys.modules.get("gateway.telemetry.declared")
    if declared is not None:
        declared.UNDECLARED.clear()


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[DatabaseServer]:
    """TimescaleDB for the whole session: do not stop it (that is what ``own_timescale`` is for)."""
    with have(lambda: choose.timescale(TIMESCALE_TUNING | _SHARED)) as server:
        yield server


@pytest.fixture(scope="session")
def influx_url() -> Iterator[str]:
    """InfluxDB 1.x for the whole session; give each test a database of its own."""
    with have(influx) as url:
        yield url


@pytest.fixture(scope="session")
def plain_server() -> Iterator[PostgresServer]:
    """PostgreSQL without TimescaleDB for the whole session: do not stop it."""
    with postgres.plain(PLAIN_TUNING | _SHARED) as server:
        yield server


@pytest.fixture(scope="session")
def timescale_databases(timescale_server: DatabaseServer) -> Iterator[Databases]:
    with databases_of(timescale_server, "timescale") as databases:
        yield databases


@pytest.fixture(scope="session")
def plain_databases(plain_server: PostgresServer) -> Iterator[Databases]:
    with databases_of(plain_server, "plain") as databases:
        yield databases


@pytest.fixture
async def timescale_db(timescale_databases: Databases) -> AsyncIterator[Database]:
    """A migrated database on TimescaleDB."""
    async with timescale_databases.migrated() as database:
        yield database


@pytest.fixture
async def plain_db(plain_databases: Databases) -> AsyncIterator[Database]:
    """A migrated database on plain PostgreSQL."""
    async with plain_databases.migrated() as database:
        yield database


@pytest.fixture(params=["timescale", "plain"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Both grounds, one after the other; only the one in turn is started."""
    chosen = request.getfixturevalue(f"{request.param}_databases")
    assert isinstance(chosen, Databases)
    return chosen


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """A migrated database on TimescaleDB, then on plain PostgreSQL: for what differs; else use ``timescale_db``."""
    async with databases.migrated() as one:
        yield one


@pytest.fixture
async def empty_database(databases: Databases) -> AsyncIterator[Database]:
    """A database without the schema, on both grounds: for tests of the migrations."""
    async with databases.empty() as one:
        yield one


@pytest.fixture
def own_timescale() -> Iterator[DatabaseServer]:
    """A TimescaleDB server of this test's own, to stop and to kill."""
    with have(lambda: choose.own_timescale(TIMESCALE_TUNING)) as server:
        yield server


@pytest.fixture
async def own_timescale_db(own_timescale: DatabaseServer) -> Database:
    """A migrated database on ``own_timescale``; it goes with its server."""
    await migrate_days(own_timescale.url())
    return Database(own_timescale.url(), "timescale")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """Valkey for the whole session: do not stop it (that is what ``own_valkey`` is for)."""
    with choose.valkey() as server:
        yield server


@pytest.fixture
async def valkey(valkey_server: ValkeyServer) -> str:
    """The URL of a Valkey with nothing in it."""
    async with redis.asyncio.from_url(valkey_server.url()) as client:
        await client.flushall()
    return valkey_server.url()


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey server of this test's own, to stop and to kill."""
    with choose.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    """One mosquitto for the whole session: use client ids and topics of your own, do not stop it."""
    with have(lambda: choose.mosquitto(Limits())) as broker:
        yield broker


@pytest.fixture
def start_mosquitto() -> Iterator[Callable[[Limits], Mosquitto]]:
    """Start a broker of this test's own with these limits, to stop and to kill."""
    with ExitStack() as stack:
        yield lambda limits: stack.enter_context(have(lambda: choose.mosquitto(limits)))
