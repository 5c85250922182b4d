"""Failovers and restores on real servers: ids of before mean something else, and no value may get another's name."""

import asyncio
import secrets
from collections.abc import Sequence

import asyncpg
import pytest

from gateway.app.dev_servers.postgres import PostgresServer
from gateway.core.errors import SinkUnavailable
from gateway.timescale.connections import identity
from gateway.timescale.connections.identity import Queryable
from gateway.timescale.migrations import migrate
from tests.builders.batches import Message, Reading, readings
from tests.integration.writing import SOON, Gateway, execute, fetch, open_gateway
from tests.servers import replicas
from tests.servers.databases import Database, Databases
from tests.servers.postgres import DatabaseServer

SEEN = "select device, (extract(epoch from time) * 1e6)::int8 - 1700000000000000, metric, kind, value from readings"

SHIFTED = "update devices set name = 'other' where name = 'first-0'"
"""Another server gives the same number to another name."""


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


async def test_a_database_dropped_and_made_again_puts_no_value_under_another_name(plain_databases: Databases) -> None:
    """In the same cluster, which runs on: nothing but the number of the database is another one."""
    async with plain_databases.empty() as database:
        await migrate(database.url, chunk_hours=24)
        async with open_gateway(database.url) as gateway:
            await _fill(gateway, "lost", 9)
            name = await fetch(database.url, "select current_database()")
            await execute(plain_databases.server.url(), f"drop database {name[0][0]} with (force)")
            await execute(plain_databases.server.url(), f"create database {name[0][0]}")
            await migrate(database.url, chunk_hours=24)
            theirs = await _other_names(database.url)
            mine = await _fill(gateway, "lost", 12, at=1)
        await _holds(database.url, [*theirs, *mine])


async def test_tables_loaded_anew_under_open_connections_are_noticed(plain_databases: Databases) -> None:
    """As `pg_restore --clean` does; a gateway looks once a second, and before it goes on after an error."""
    async with plain_databases.empty() as database:
        await migrate(database.url, chunk_hours=24)
        async with open_gateway(database.url) as gateway:
            await _fill(gateway, "lost", 9)
            await execute(database.url, "drop schema public cascade; create schema public")
            await migrate(database.url, chunk_hours=24)
            theirs = await _other_names(database.url)
            await gateway.pool.look()
            mine = await _fill(gateway, "lost", 12, at=1)
        await _holds(database.url, [*theirs, *mine])


async def test_a_group_under_way_is_arranged_anew(plain_db: Database) -> None:
    """Its ids are learnt; before it is written the database becomes another one."""
    async with open_gateway(plain_db.url) as gateway:
        await _fill(gateway, "first", 1)
        lent, *_ = gateway.writer._connections._idle
        lineage, greet = gateway.dictionary.lineage, gateway.dictionary.lineage.check
        await lent.close()  # so that the group needs a new connection
        greeted = 0

        async def another(connection: Queryable) -> None:
            nonlocal greeted
            await greet(connection)
            greeted += 1
            if greeted == 1:
                await execute(plain_db.url, SHIFTED)
                lineage._forget()

        lineage.check = another  # type: ignore[method-assign]
        again = await _fill(gateway, "first", 1, at=1)
        assert greeted > 1
    assert await fetch(plain_db.url, SEEN) == [("other", 0, "first_0", "double", 0.0), *readings(*again)]


async def test_an_ordinary_role_is_told_all_of_it(database: Database) -> None:
    role = f"ordinary_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(f"create role {role}; grant select on installation to {role}; set role {role}")
        server = await identity.ask(connection)
    finally:
        await connection.execute(f"reset role; drop owned by {role}; drop role {role}")
        await connection.close()
    assert (server.standby, server.timeline) == (False, 1)
    assert server.system.isdecimal()
    assert server.installation is not None
    assert 0 < server.flushed <= server.inserted


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
