"""Counting devices: remembered for a while, never for long in the way, and what is known stays known."""

import pytest

from gateway.core.timestamps import to_datetime
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.queries import query
from gateway.timescale.registry.device_count import KEEP_SECS, DeviceCount, DeviceCounter
from tests.builders.batches import NOON, SECOND
from tests.fakes.clock import ManualClock
from tests.integration.writing import execute, open_gateway
from tests.servers.databases import Database

LOCKED_CHUNKS = """
select count(*) from pg_locks l join pg_class c on c.oid = l.relation
where l.pid = pg_backend_pid() and c.relname ~ '^_hyper_.*_chunk$'
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def add(pool: Pool, *names: str) -> None:
    async with pool.connection() as connection:
        await connection.executemany("insert into devices (name) values ($1)", [(name,) for name in names])


async def test_devices_are_counted_and_the_count_is_kept_for_a_while(timescale_db: Database) -> None:
    clock = Clock()
    async with open_pool(timescale_db.url, name="test", size=1, connect_timeout=5, command_timeout=5) as pool:
        census = DeviceCounter(pool, clock=ManualClock(), monotonic=clock)
        assert await census.count() == DeviceCount(0, 0, 0)
        await add(pool, "a", "b", "c")
        async with pool.connection() as connection:
            await connection.execute("update devices set enabled = false where name = 'b'")
        assert await census.count() == DeviceCount(0, 0, 0)
        clock.now += KEEP_SECS
        assert await census.count() == DeviceCount(3, 2, 2)


async def test_those_that_have_not_sent_for_long_are_offline_as_in_the_list(database: Database) -> None:
    clock = ManualClock()
    silent = 900
    cut = -silent * SECOND
    async with open_gateway(database.url) as gateway:
        await gateway.write(
            [("on", 0, {"t": 1.0}), ("just-on", cut, {"t": 1.0}), ("off", cut - 1, {"t": 1.0})],
            [("back", cut - 1, {"t": 1.0}), ("back", 0, {"u": 1.0}), ("disabled", cut - 1, {"t": 1.0})],
        )
        await execute(database.url, "insert into devices (name) values ('never')")
        await execute(database.url, "update devices set enabled = false where name = 'disabled'")
        census = DeviceCounter(gateway.pool, clock=clock, monotonic=Clock(), offline_after_secs=silent)
        assert await census.count() == DeviceCount(total=6, enabled=5, offline=2)


async def test_only_newest_chunks_are_looked_at(timescale_db: Database) -> None:
    day_us = 86_400 * SECOND
    async with open_gateway(timescale_db.url) as gateway:
        await gateway.write([("d1", -day * day_us, {"t": 1.0}) for day in range(0, 60, 3)])
        async with gateway.pool.connection() as connection, connection.transaction():
            await connection.execute(query("plan_anew"))
            for _ in range(7):  # PostgreSQL thinks of a plan for all times from the sixth on
                await connection.fetchval(query("count_silent"), to_datetime(NOON - 900 * SECOND))
            assert await connection.fetchval(LOCKED_CHUNKS) == 1


@pytest.mark.parametrize("url", ["postgresql://gateway@127.0.0.1:1/none"])
async def test_without_a_database_nothing_is_known_and_nothing_raised(url: str) -> None:
    async with open_pool(url, name="test", size=1, connect_timeout=0.5, command_timeout=1) as pool:
        assert await DeviceCounter(pool, clock=ManualClock(), monotonic=Clock()).count() is None
