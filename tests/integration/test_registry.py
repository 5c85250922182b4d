"""The registry on real databases: devices, their pages and metrics, declared ints."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.errors import BadRequest, DeviceExists, NotFound, UnknownDevice
from gateway.domain.devices import DeviceFilter
from gateway.domain.model import Kind
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.registry.devices import DeviceRegistry, Reported
from gateway.timescale.registry.metrics import DeclaredInts
from tests.servers.databases import Database


@pytest.fixture
async def pool(timescale_db: Database) -> AsyncIterator[Pool]:
    async with open_pool(timescale_db.url, name="test", size=4, connect_timeout=10, command_timeout=10) as pool:
        yield pool


async def test_an_added_device_is_shown_and_listed(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    added = await devices.add("plant-7.press:1", tags={"site": "Köln", "line": "2"})
    assert added.enabled
    assert added.tags == {"site": "Köln", "line": "2"}
    assert abs(datetime.now(UTC) - added.created_at) < timedelta(minutes=5)
    assert await devices.show("plant-7.press:1") == (added, [])
    assert await devices.page() == [added]


async def test_a_device_exists_once(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    results = await asyncio.gather(*(devices.add("d1") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, DeviceExists) for result in results) == 4
    assert len(await devices.page()) == 1


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 129, "a/b", "a\n", "a\x00", "\ud800"])
async def test_names_no_device_can_have_are_refused_before_the_database(name: str) -> None:
    url = "postgresql://127.0.0.1:1/none"
    async with open_pool(url, name="test", size=1, connect_timeout=1, command_timeout=1) as pool:
        devices = DeviceRegistry(pool)
        for call in (devices.add(name), devices.show(name), devices.enable(name), devices.page(after=name or " ")):
            with pytest.raises(BadRequest):
                await call


@pytest.mark.parametrize(
    "tags",
    [{"": "x"}, {"a b": "x"}, {"k" * 65: "x"}, {"k": "x" * 257}, {"k": "a\x00"}, {f"k{n}": "" for n in range(65)}],
)
async def test_tags_out_of_bounds_are_refused(tags: dict[str, str]) -> None:
    url = "postgresql://127.0.0.1:1/none"
    async with open_pool(url, name="test", size=1, connect_timeout=1, command_timeout=1) as pool:
        with pytest.raises(BadRequest, match="tag"):
            await DeviceRegistry(pool).add("d1", tags=tags)


async def test_pages_follow_each_other_without_gap_or_repeat(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    names = [f"p.{n:02}" for n in range(23)]
    await asyncio.gather(*(devices.add(name) for name in [*names, "other"]))
    seen: list[str] = []
    after = ""
    while page := await devices.page(DeviceFilter(prefix="p."), after=after, limit=5):
        seen += [device.name for device in page]
        after = seen[-1]
    assert seen == names


@pytest.mark.parametrize("limit", [0, -1, 1002])
async def test_pages_have_a_size(pool: Pool, limit: int) -> None:
    with pytest.raises(BadRequest, match=str(limit)):
        await DeviceRegistry(pool).page(limit=limit)


async def test_disabling_twice_and_enabling(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    await devices.add("d1")
    assert not (await devices.disable("d1")).enabled
    assert not (await devices.disable("d1")).enabled
    assert (await devices.enable("d1")).enabled


async def test_devices_that_do_not_exist_are_not_found(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    for call in (devices.show("ghost"), devices.enable("ghost"), devices.disable("ghost")):
        with pytest.raises(UnknownDevice, match="'ghost'"):
            await call


async def test_a_device_shows_what_it_has_reported(pool: Pool) -> None:
    devices = DeviceRegistry(pool)
    await devices.add("d1")
    async with pool.connection() as connection:
        await connection.execute(
            """
            insert into metrics (name, kind, unit)
            values ('t', 'double', '°C'), ('t', 'text', null), ('n', 'int', null), ('unused', 'bool', null);
            insert into shapes (value_metrics, int_metrics, text_metrics)
            select array[a.id], array[c.id], array[b.id] from metrics a, metrics b, metrics c
            where (a.name, a.kind, b.name, b.kind, c.name) = ('t', 'double', 't', 'text', 'n');
            insert into device_shapes select d.id, s.id from devices d, shapes s;
            """
        )
    _, metrics = await devices.show("d1")
    assert metrics == [
        Reported("n", Kind.INT, None),
        Reported("t", Kind.DOUBLE, "°C"),
        Reported("t", Kind.TEXT, None),
    ]


async def test_declared_ints_come_and_go(pool: Pool) -> None:
    declared = DeclaredInts(pool)
    assert await declared.declare("counter/total")
    assert not await declared.declare("counter/total")
    assert await declared.declare("a")
    assert await declared.names() == ["a", "counter/total"]
    await declared.undeclare("a")
    with pytest.raises(NotFound, match="'a'"):
        await declared.undeclare("a")
    assert await declared.names() == ["counter/total"]
    with pytest.raises(BadRequest, match="bad name"):
        await declared.declare("bad name")
