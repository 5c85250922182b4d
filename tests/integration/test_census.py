"""Counting devices: remembered for a while, never for long in the way, and what is known stays known."""

import pytest

from gateway.timescale.census import KEEP_SECS, Census, Count
from gateway.timescale.pool import Pool, open_pool
from tests.ground.databases import Database


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def add(pool: Pool, *names: str) -> None:
    async with pool.connection() as connection:
        await connection.executemany("insert into devices (name) values ($1)", [(name,) for name in names])


async def test_devices_are_counted_and_the_count_is_kept_for_a_while(database: Database) -> None:
    clock = Clock()
    async with open_pool(database.url, name="test", size=1, connect_timeout=5, command_timeout=5) as pool:
        census = Census(pool, monotonic=clock)
        assert await census.count() == Count(0, 0)
        await add(pool, "a", "b", "c")
        async with pool.connection() as connection:
            await connection.execute("update devices set enabled = false where name = 'b'")
        assert await census.count() == Count(0, 0)
        clock.now += KEEP_SECS
        assert await census.count() == Count(3, 2)


@pytest.mark.parametrize("url", ["postgresql://gateway@127.0.0.1:1/none"])
async def test_without_a_database_nothing_is_known_and_nothing_raised(url: str) -> None:
    async with open_pool(url, name="test", size=1, connect_timeout=0.5, command_timeout=1) as pool:
        assert await Census(pool, monotonic=Clock()).count() is None
