"""Readings older than the retention go, on both grounds, and none that is younger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from gateway.core.errors import SinkUnavailable
from gateway.core.settings import RetentionSettings
from gateway.telemetry import prometheus
from gateway.timescale.connections.pool import Connection, Pool, open_pool
from gateway.timescale.retention import LOCK_KEY, remove_old
from tests.integration.live_gateways import until
from tests.integration.writing import SOON
from tests.servers.databases import Database

KEEP = RetentionSettings(days=30)
OLDEST, EDGE, YOUNG = 60 * 24, 30 * 24 + 25, 30 * 24 - 1
"""Hours: far too old; too old by more than a chunk of a day; not too old."""
INSERT = """
insert into messages (time, device_id, shape_id) select now() - h * interval '1 hour', 1, 1 from unnest($1::int[]) h
"""
AGES = "select round(extract(epoch from now() - time) / 3600)::int as hours from messages order by 1"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with open_pool(database.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


async def hours_old(database: Database) -> list[int]:
    async with connected(database) as connection:
        return [row["hours"] for row in await connection.fetch(AGES)]


async def fill(database: Database, *hours: int) -> None:
    async with connected(database) as connection:
        await connection.execute(INSERT, hours)


async def test_old_readings_go_and_young_ones_stay(database: Database, pool: Pool) -> None:
    await fill(database, 0, YOUNG, EDGE, OLDEST)
    before = prometheus.chunks_dropped._value.get() + prometheus.messages_removed._value.get()
    await remove_old(KEEP).once(pool)
    assert await hours_old(database) == [0, YOUNG]
    assert prometheus.chunks_dropped._value.get() + prometheus.messages_removed._value.get() == before + 2


async def test_more_than_one_statement_takes_at_once(
    database: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.timescale.retention.AT_ONCE", 2)
    await fill(database, *range(OLDEST, OLDEST + 5), 1)
    await remove_old(KEEP).once(pool)
    assert await hours_old(database) == [1]


async def test_one_gateway_at_a_time(database: Database, pool: Pool) -> None:
    await fill(database, OLDEST)
    async with connected(database) as other:
        await other.execute("select pg_advisory_lock($1)", LOCK_KEY)
        await remove_old(KEEP).once(pool)
        assert await hours_old(database) == [OLDEST]
    await remove_old(KEEP).once(pool)
    assert await hours_old(database) == []


async def test_it_goes_on_after_a_round_that_failed(database: Database, pool: Pool) -> None:
    await fill(database, OLDEST)
    rounds = [SinkUnavailable("away"), RuntimeError("a mistake")]

    async def sometimes(connection: Connection) -> None:
        if rounds:
            raise rounds.pop(0)
        await remove_old(KEEP).work(connection)

    async with remove_old(KEEP)._replace(work=sometimes, every_secs=0.01).repeated(pool):
        await until(lambda: gone(database))
    assert rounds == []


async def gone(database: Database) -> bool:
    return not await hours_old(database)


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        await connection.close()
