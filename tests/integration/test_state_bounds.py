"""What one device may take of the newest state: long texts in many shapes leave everybody else's where it is."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import redis.asyncio

from gateway.telemetry import prometheus
from tests.builders.batches import Message
from tests.integration.live_gateways import Live, living, quicken, until
from tests.servers.databases import Database

MOST = 100_000
WORDS = "x" * 4000


class Place(NamedTuple):
    live: Live
    url: str

    async def taken(self, device: str) -> int:
        async with redis.asyncio.from_url(self.url) as client:
            return int(await client.memory_usage(f"gateway:test:{device}", samples=0) or 0)

    async def sources(self, *devices: str) -> list[str]:
        found = await self.live.reader.devices(devices)
        return [state.source for state in found if state is not None]


@pytest.fixture
async def place(timescale_db: Database, valkey: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    quicken(monkeypatch)
    async with living(timescale_db.url, valkey) as live:
        live.state._device_bytes = MOST
        await live.whole()
        yield Place(live, valkey)


def large(device: str, shape: int, time: int = 1) -> Message:
    return (device, time, {f"m{shape}": WORDS, f"n{shape}": WORDS})


def left_out() -> float:
    return float(prometheus.state_left_out._value.get())


async def whole(place: Place, device: str) -> None:
    async def comes() -> bool:
        return await place.sources(device) == ["redis"]

    await until(comes)


async def test_one_device_takes_no_more_than_its_share(place: Place) -> None:
    await place.live.report(("honest", 1, {"t": 1.5}))
    await whole(place, "honest")
    before = left_out()
    for shape in range(40):
        await place.live.report(large("flooding", shape))
        assert await place.taken("flooding") < 1.5 * MOST
    assert left_out() > before
    await place.live.report(("honest", 2, {"t": 2.5}))
    assert await place.sources("honest", "flooding") == ["redis", "db"]
    [state] = await place.live.reader.devices(["flooding"])
    assert state is not None
    assert len(state.metrics) == 80
    assert await place.taken("flooding") < 1000, "and it is not filled again by being read"


async def test_it_is_left_out_by_a_rebuild_too(place: Place) -> None:
    await place.live.report(*[large("flooding", shape) for shape in range(30)], ("honest", 1, {"t": 1.5}))
    await place.live.state.mark_incomplete()
    await place.live.whole()
    await whole(place, "honest")
    assert await place.taken("flooding") < 1000
    assert await place.sources("flooding") == ["db"]


async def test_what_fits_is_kept_and_replaced_as_ever(place: Place) -> None:
    for time in range(1, 6):
        await place.live.report(*[large("d", shape, time) for shape in range(10)])
    await whole(place, "d")
    [held] = await place.live.state.read(["d"])
    assert held is not None
    assert len(held) == 10
    assert 80_000 < await place.taken("d") < 1.5 * MOST
