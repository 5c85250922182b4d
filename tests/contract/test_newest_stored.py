"""One suite for what knows the newest stored messages: the database, and the in-memory one."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from gateway.domain.contracts.ingest import Sink
from gateway.domain.contracts.newest import DevicePage, NewestMessage, NewestStored
from gateway.domain.layouts import Layouts
from gateway.domain.model import Value
from gateway.timescale.newest import TimescaleNewest
from tests.builders.batches import NOON, Message, batch, entries
from tests.fakes import MemoryNewest, MemorySink
from tests.integration.writing import open_gateway
from tests.servers.databases import Databases

DAY = 86_400_000_000


class Place(NamedTuple):
    sink: Sink
    stored: NewestStored
    layouts: Layouts

    async def report(self, *messages: Message) -> list[tuple[str, NewestMessage]]:
        """Store messages; return what is the newest of them."""
        written = await self.sink.write([batch(self.layouts, *messages)])
        return sorted(entry for block in written.newest for entry in entries(block))


@pytest.fixture(params=["memory", "timescale", "plain"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        sink = MemorySink()
        yield Place(sink, MemoryNewest(sink), Layouts())
        return
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    async with databases.migrated() as database, open_gateway(database.url) as gateway:
        yield Place(gateway.writer, TimescaleNewest(gateway.pool), gateway.layouts)


async def _read(stored: NewestStored, *devices: str) -> list[tuple[str, NewestMessage]]:
    found = zip(devices, await stored.read(devices), strict=True)
    return sorted((device, entry) for device, messages in found for entry in messages)


async def test_nothing_is_known_of_nobody(place: Place) -> None:
    assert await place.stored.read([]) == []
    assert await place.stored.read(["nobody"]) == [[]]
    assert await place.stored.count() == 0
    assert await place.stored.page(0, size=10) == DevicePage([], 0, 0)


async def test_it_says_what_the_live_state_was_told(place: Place) -> None:
    every: dict[str, Value] = {"on": True, "n": 2**63 - 1, "m": -(2**63), "t": "", "u": "Kühl🌡️\n", "a": 0.1, "b": -0.0}
    told = await place.report(("d", 1, every), ("d", 2, {"t": "x" * 4096}), ("e", 3, {"a": 5e-324}))
    assert await _read(place.stored, "e", "d") == told
    assert {entry.time_us for _, entry in told} == {NOON + 1, NOON + 2, NOON + 3}


async def test_the_newest_of_each_shape_wherever_it_lies(place: Place) -> None:
    first: list[Message] = [("d", -day * DAY, {"a": float(day)}) for day in range(1, 40)]
    second: list[Message] = [("d", -day * DAY + 1, {"b": float(day)}) for day in range(30, 40)]
    await place.report(*first, *second)
    found = [(entry.time_us - NOON, entry.doubles) for _, entry in await _read(place.stored, "d")]
    assert sorted(found) == [(-30 * DAY + 1, (30.0,)), (-DAY, (1.0,))]


async def test_a_device_asked_for_twice_is_answered_twice(place: Place) -> None:
    ((_, told),) = await place.report(("d", 1, {"a": 0.5}))
    assert await place.stored.read(["d", "nobody", "d"]) == [[told], [], [told]]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_all_pages_together_hold_every_device_once(place: Place, size: int) -> None:
    messages: list[Message] = [(f"d{i % 9}", i, {f"m{i % 4}": i + 0.5}) for i in range(200)]
    told = await place.report(*messages)
    assert await place.stored.count() == len(told) == 36
    found: list[str] = []
    after = 0
    while (page := await place.stored.page(after, size=size)).looked_at:
        assert len(page.devices) <= page.looked_at <= size
        assert page.last > after
        found += page.devices
        after = page.last
    assert sorted(found) == [f"d{i}" for i in range(9)]
    assert await _read(place.stored, *found) == told


async def test_the_newest_time_of_each_device(place: Place) -> None:
    await place.report(("d", 3 * DAY, {"a": 1.0}), ("d", 1, {"b": 1.0}), ("e", 2, {"a": 1.0}))
    assert await place.stored.times(["e", "nobody", "d"]) == [NOON + 2, None, NOON + 3 * DAY]
    assert await place.stored.times([]) == []
