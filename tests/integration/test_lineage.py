"""Failovers and restores on real servers: ids of before mean something else, and no value may get another's name."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.errors import SinkUnavailable
from gateway.local.postgres import PostgresServer
from gateway.timescale.migrations import migrate
from tests.batches import Message, Reading, readings
from tests.ground import replicas
from tests.ground.postgres import DatabaseServer
from tests.integration.writing import SOON, Gateway, fetch, open_gateway

SEEN = "select device, (extract(epoch from time) * 1e6)::int8 - 1700000000000000, metric, kind, value from readings"


@pytest.fixture
async def primary(own_timescale: DatabaseServer) -> PostgresServer:
    """A migrated server of this test's own, in the trixie root."""
    server = replicas.ours(own_timescale)
    await migrate(server.url(), chunk_hours=24)
    return server


async def test_a_lossy_promotion_puts_no_value_under_another_name(primary: PostgresServer) -> None:
    standby = replicas.base_backup(primary, "standby", follows=True)
    with standby:
        async with open_gateway(replicas.urls(primary, standby)) as gateway:
            kept = await _fill(gateway, "kept", 5)
            await replicas.caught_up(primary, standby)
            await replicas.cut_off(standby)
            await _fill(gateway, "lost", 45)
            primary.kill()
            await replicas.promote(standby)
            theirs = await _other_names(standby.url())
            mine = await _fill(gateway, "lost", 50, at=1)
        await _holds(standby.url(), [*kept, *theirs, *mine])


async def test_a_restore_to_a_point_in_time_puts_no_value_under_another_name(primary: PostgresServer) -> None:
    copy = replicas.base_backup(primary, "copy", follows=False)
    async with open_gateway(replicas.urls(primary, copy)) as gateway:
        kept = await _fill(gateway, "kept", 5)
        await replicas.ask(primary, "select pg_create_restore_point('then')")
        await _fill(gateway, "lost", 45)
        primary.stop()
        replicas.restore_at(copy, primary, target="then")
        with copy:
            theirs = await _other_names(copy.url())
            mine = await _fill(gateway, "lost", 50, at=1)
            await _holds(copy.url(), [*kept, *theirs, *mine])


async def test_files_put_back_as_they_were_put_no_value_under_another_name(primary: PostgresServer) -> None:
    """The timeline stays as it is, and so does the cluster's identifier."""
    async with open_gateway(primary.url()) as gateway:
        kept = await _fill(gateway, "kept", 5)
        primary.stop()
        with replicas.put_back(primary):
            await _fill(gateway, "lost", 45)
        theirs = await _other_names(primary.url())
        mine = await _fill(gateway, "lost", 50, at=1)
        await _holds(primary.url(), [*kept, *theirs, *mine])


async def _fill(gateway: Gateway, prefix: str, count: int, *, at: int = 0) -> list[Message]:
    """Have so many devices report, each in a shape of its own, until all is acknowledged."""
    messages: list[Message] = [(f"{prefix}-{i}", at, {f"{prefix}_{i}": i + at / 4}) for i in range(count)]
    await _write(gateway, messages)
    return messages


async def _write(gateway: Gateway, messages: Sequence[Message]) -> None:
    """Write as the spool does: again, until the database takes it."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                (outcome,) = (await gateway.write(list(messages))).outcomes
            except SinkUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
    assert (outcome.stored, outcome.duplicates, list(outcome.conflicts)) == (len(messages), 0, [])


async def _other_names(url: str) -> list[Message]:
    """Have another gateway give the ids that were lost to names of its own."""
    async with open_gateway(url) as other:
        return await _fill(other, "theirs", 30)


async def _holds(url: str, messages: Sequence[Message]) -> None:
    """Every value is stored under its own name, and nothing else is."""
    found: list[Reading] = [tuple(row) for row in await fetch(url, SEEN)]
    assert sorted(found) == readings(*messages)
    assert await fetch(url, "select count(*) from messages") == [(len(messages),)]
