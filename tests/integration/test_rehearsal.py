"""The breaker's probe on real servers: it fails where a real write would fail, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from gateway.core import settings
from gateway.core.errors import GatewayError, SinkFault, SinkUnavailable
from gateway.ingest.pipeline.breaker import reason
from gateway.timescale.write import probe
from gateway.timescale.write.probe import rehearse
from tests.integration.writing import execute, fetch, open_gateway
from tests.servers.databases import Database
from tests.servers.roles import plain_role, url_of

LEFT = """
select (select count(*) from devices), (select count(*) from metrics), (select count(*) from shapes),
    (select count(*) from device_shapes), (select count(*) from messages), (select count(*) from dead_letters)
"""
REFUSING = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not on a Monday'; end $$;
create trigger refuse before insert on {} for each row execute function refuse()
"""


class Place(NamedTuple):
    admin: str
    role: str

    @property
    def mine(self) -> settings.DatabaseSettings:
        return settings.DatabaseSettings(url=url_of(self.admin, self.role))

    async def rehearse(self, *, overwrite: bool = False, make_devices: bool = True) -> None:
        await rehearse(self.mine, overwrite=overwrite, make_devices=make_devices)

    async def fails(self, kind: type[GatewayError]) -> str:
        with pytest.raises(kind) as caught:
            await self.rehearse()
        return reason(caught.value)


@pytest_asyncio.fixture(name="place")
async def prepared(database: Database) -> AsyncIterator[Place]:
    async with plain_role(database.url) as role:
        yield Place(database.url, role)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make_devices", [False, True])
async def test_it_succeeds_and_leaves_nothing(place: Place, overwrite: bool, make_devices: bool) -> None:
    await place.rehearse(overwrite=overwrite, make_devices=make_devices)
    async with open_gateway(place.mine.url, overwrite=overwrite) as gateway:  # and beside real readings
        await gateway.write([("d1", 1_000_000, {"t": 1.5, "n": "text"})])
    before = await fetch(place.admin, LEFT)
    await place.rehearse(overwrite=overwrite, make_devices=make_devices)
    assert await fetch(place.admin, LEFT) == before


async def test_it_leaves_no_chunk_behind(timescale_db: Database) -> None:
    await rehearse(settings.DatabaseSettings(url=timescale_db.url), overwrite=False, make_devices=True)
    assert await fetch(timescale_db.url, "select chunk_name from timescaledb_information.chunks") == []


@pytest.mark.parametrize(
    ("right", "table"),
    [
        ("insert", "messages"),
        ("select", "messages"),
        ("insert", "devices"),
        ("insert", "metrics"),
        ("insert", "shapes"),
        ("insert", "device_shapes"),
        ("insert", "dead_letters"),
    ],
)
async def test_a_right_that_is_missing(place: Place, right: str, table: str) -> None:
    await execute(place.admin, f"revoke {right} on {table} from {place.role}")
    words = await place.fails(SinkFault)
    assert f"permission denied for table {table}" in words
    assert "grant the user of database.url" in words
    await execute(place.admin, f"grant {right} on {table} to {place.role}")
    await place.rehearse()


async def test_a_closed_registry_needs_no_right_to_make_devices(place: Place) -> None:
    await execute(place.admin, f"revoke insert on devices, device_shapes from {place.role}")
    await place.rehearse(make_devices=False)


async def test_no_right_to_make_temporary_tables(place: Place) -> None:
    ((name,),) = await fetch(place.admin, "select current_database()")
    await execute(place.admin, f'revoke temporary on database "{name}" from public')
    assert "permission denied to create temporary tables" in await place.fails(SinkFault)


async def test_read_only(place: Place) -> None:
    await execute(place.admin, f"alter role {place.role} set default_transaction_read_only = on")
    words = await place.fails(SinkUnavailable)
    assert "read-only transaction" in words
    assert "connect to the primary" in words


@pytest.mark.parametrize("table", ["messages", "devices", "dead_letters"])
async def test_a_table_that_is_gone(place: Place, table: str) -> None:
    await execute(place.admin, f"drop table {table} cascade")
    words = await place.fails(SinkFault)
    assert f'relation "{table}" does not exist' in words
    assert "restore it from a backup" in words


async def test_a_column_that_is_gone(place: Place) -> None:
    await execute(place.admin, "alter table messages drop column texts cascade")
    assert 'column "texts" of relation "messages" does not exist' in await place.fails(SinkFault)


async def test_a_trigger_that_raises(place: Place) -> None:
    await execute(place.admin, REFUSING.format("messages"))
    words = await place.fails(SinkFault)
    assert "not on a Monday" in words
    assert "a trigger" in words


async def test_rules_of_the_operators_about_rows_are_no_reason_not_to_write(place: Place) -> None:
    await execute(place.admin, REFUSING.format("devices"))
    await execute(place.admin, "alter table messages add check (device_id < 0)")
    await place.rehearse()


async def test_row_level_security(plain_db: Database) -> None:
    async with plain_role(plain_db.url) as role:
        await execute(plain_db.url, "alter table messages enable row level security")
        words = await Place(plain_db.url, role).fails(SinkFault)
        assert "row-level security" in words
        assert "bypassrls" in words


async def test_a_lock_that_somebody_holds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LOCK_MS", 50)
    holder = await asyncpg.connect(place.admin)
    try:
        async with holder.transaction():
            await holder.execute("lock table messages in access exclusive mode")
            words = await place.fails(SinkUnavailable)
            assert "lock timeout" in words
            assert "somebody else holds a lock" in words
        await place.rehearse()
    finally:
        await holder.close()


async def test_many_at_once_do_not_stand_in_each_others_way(place: Place) -> None:
    async with open_gateway(place.mine.url) as gateway:
        await gateway.write([("d1", 1_000_000, {"t": 1.5})])
        writes = [gateway.write([("d1", 2_000_000 + i, {"t": 1.5})]) for i in range(20)]
        await asyncio.gather(*(place.rehearse() for _ in range(5)), *writes)
    assert await fetch(place.admin, "select count(*) from messages") == [(21,)]
