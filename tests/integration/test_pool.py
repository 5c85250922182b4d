"""The connection pool against servers that are away, crash, hang or have nothing in them."""

import asyncio

import asyncpg
import pytest

from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.registry.devices import DeviceRegistry
from tests.servers.databases import Database, Databases
from tests.servers.postgres import DatabaseServer


async def test_a_pool_opens_while_the_database_is_away() -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    async with open_pool(url, name="test", size=2, connect_timeout=2, command_timeout=2) as pool:
        with pytest.raises(SinkUnavailable) as caught:
            await DeviceRegistry(pool).page()
        assert isinstance(caught.value.__cause__, OSError)


async def test_a_pool_heals_after_a_crash_of_the_server(
    own_timescale_db: Database, own_timescale: DatabaseServer
) -> None:
    async with open_pool(own_timescale_db.url, name="test", size=2, connect_timeout=5, command_timeout=5) as pool:
        devices = DeviceRegistry(pool)
        await devices.add("before")
        own_timescale.kill()
        with pytest.raises(SinkUnavailable):
            await devices.page()
        own_timescale.start()
        assert [device.name for device in await devices.page()] == ["before"]


async def test_an_exhausted_pool_says_so_in_time(plain_db: Database) -> None:
    async with open_pool(plain_db.url, name="test", size=1, connect_timeout=0.3, command_timeout=5) as pool:
        async with pool.connection():
            with pytest.raises(SinkUnavailable):
                await DeviceRegistry(pool).page()
        assert await DeviceRegistry(pool).page() == []


async def test_a_statement_that_hangs_is_given_up(plain_db: Database) -> None:
    async with open_pool(plain_db.url, name="test", size=1, connect_timeout=5, command_timeout=0.2) as pool:
        with pytest.raises(SinkUnavailable):
            async with pool.connection() as connection:
                await connection.execute("select pg_sleep(30)")
        assert await DeviceRegistry(pool).page() == []


async def test_connections_carry_a_name_and_read_times_as_utc(plain_db: Database) -> None:
    async with (
        open_pool(plain_db.url, name="gateway test", size=1, connect_timeout=5, command_timeout=5) as pool,
        pool.connection() as connection,
    ):
        assert await connection.fetchval("show application_name") == "gateway test"
        assert await connection.fetchval("show timezone") == "UTC"


async def test_closing_does_not_wait_for_a_borrower_for_ever(plain_db: Database) -> None:
    async with open_pool(plain_db.url, name="test", size=1, connect_timeout=5, command_timeout=60) as pool:
        borrowed = asyncio.create_task(_sleep_in(pool), name="borrower")
        await _until_busy(plain_db.url)
        await pool.close(timeout=0.2)
        with pytest.raises(SinkUnavailable):
            await borrowed


async def _sleep_in(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("select pg_sleep(30)")


_SLEEPERS = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"


async def _until_busy(url: str) -> None:
    watcher = await asyncpg.connect(url)
    async with asyncio.timeout(10):
        while not await watcher.fetchval(_SLEEPERS):  # noqa: ASYNC110 -- it is the server that sleeps
            await asyncio.sleep(0.01)
    await watcher.close()


async def test_a_database_without_the_schema_names_the_way_out(plain_databases: Databases) -> None:
    async with (
        plain_databases.empty() as empty,
        open_pool(empty.url, name="test", size=1, connect_timeout=5, command_timeout=5) as pool,
    ):
        with pytest.raises(SinkFault, match="gateway migrate"):
            await DeviceRegistry(pool).page()
