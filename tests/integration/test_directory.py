"""Cards of devices from a real database: looked up together, forgotten in time, never missing when they are needed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import pytest

from gateway.core.errors import SinkUnavailable
from gateway.domain.contracts.ingest import DeviceCard
from gateway.timescale.connections.pool import Connection, Pool, open_pool
from gateway.timescale.registry import device_cache
from gateway.timescale.registry.device_cache import STRANGER_SECS, TimescaleDirectory
from gateway.timescale.registry.devices import DeviceRegistry
from gateway.timescale.write.name_ids import Dictionary
from tests.builders.batches import Message
from tests.integration.writing import SOON, open_gateway
from tests.servers.databases import Database


class WatchedPool(Pool):
    """Counts what is borrowed; lends nothing while held, and fails while away."""

    def __init__(self, pool: Pool) -> None:
        self._inner = pool
        self.lineage = pool.lineage
        self._open = asyncio.Event()
        self._open.set()
        self.lent = 0
        self.away = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self.lent += 1
        await self._open.wait()
        if self.away:
            raise SinkUnavailable("away", retry_after=3.0)
        async with self._inner.connection() as connection:
            yield connection

    @contextmanager
    def held(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


class Place(NamedTuple):
    directory: TimescaleDirectory
    pool: WatchedPool
    devices: DeviceRegistry
    now: list[float]
    url: str

    def cards(self, *names: str) -> list[DeviceCard | None]:
        return [self.directory.card(name) for name in names]

    async def look_up(self, *names: str) -> None:
        await asyncio.wait_for(self.directory.look_up(names), SOON)


@pytest.fixture
async def place(plain_db: Database) -> AsyncIterator[Place]:
    async with open_pool(plain_db.url, name="test", size=4, connect_timeout=SOON, command_timeout=SOON) as real:
        pool, now = WatchedPool(real), [100.0]
        one = TimescaleDirectory(pool, Dictionary(pool), monotonic=lambda: now[0])
        yield Place(one, pool, DeviceRegistry(real), now, plain_db.url)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_card_says_what_a_device_has_reported(place: Place) -> None:
    messages: list[Message] = [("d", 0, {"a": 0.5, "t": "x"}), ("d", 1, {"a": "ERR"}), ("e", 0, {"n": 1})]
    async with open_gateway(place.url) as gateway:
        await gateway.write(messages)
        shapes = {frozenset(layout.shape.metrics) for layout in gateway.layouts.table[:2]}
    assert place.cards("d") == [None]
    await place.look_up("d", "e")
    (card,) = place.cards("d")
    assert card is not None
    assert (card.known, card.enabled) == (True, True)
    assert {frozenset(shape.metrics) for shape in card.shapes} == shapes
    assert {(metric.name, metric.kind.value) for metric in card.metrics} == {
        ("a", "double"),
        ("t", "text"),
        ("a", "text"),
    }


async def test_a_disabled_device_is_known_and_disabled(place: Place) -> None:
    await place.devices.add("d")
    await place.devices.disable("d")
    await place.look_up("d")
    (card,) = place.cards("d")
    assert card is not None
    assert (card.known, card.enabled) == (True, False)


async def test_a_device_that_does_not_exist_is_asked_for_again_after_a_second(place: Place) -> None:
    await place.look_up("d")
    (card,) = place.cards("d")
    assert card is not None
    assert not card.known
    await place.devices.add("d")
    place.now[0] += STRANGER_SECS - 0.01
    assert place.cards("d") == [card]
    place.now[0] += 0.01
    assert place.cards("d") == [None]
    await place.look_up("d")
    (card,) = place.cards("d")
    assert card is not None
    assert card.known


async def test_all_who_ask_at_once_share_a_round_trip(place: Place) -> None:
    await place.devices.add("d0")
    with place.pool.held():
        first = asyncio.create_task(place.look_up("d0"))
        await _turns()
        others = [asyncio.create_task(place.look_up(f"d{i}", "d0")) for i in range(20)]
        await _turns()
    await asyncio.gather(first, *others)
    assert place.pool.lent == 2
    assert None not in place.cards(*(f"d{i}" for i in range(20)))


async def test_one_who_gives_up_takes_nobody_along(place: Place) -> None:
    await place.devices.add("d")
    with place.pool.held():
        tasks = [asyncio.create_task(place.look_up("d")) for _ in range(3)]
        await _turns()
        tasks[0].cancel()
        await _turns()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, type(None), type(None)]


async def test_a_failure_reaches_everyone_as_their_own_and_the_next_look_up_works(place: Place) -> None:
    place.pool.away = True
    with place.pool.held():
        tasks = [asyncio.create_task(place.look_up("d", f"e{i}")) for i in range(3)]
        await _turns()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(SinkUnavailable, "away")] * 3
    assert len({id(error) for error in errors}) == 3
    place.pool.away = False
    await place.look_up("d")
    assert None not in place.cards("d")


async def test_a_look_up_cancelled_in_its_turn_is_not_waited_for_for_ever(place: Place) -> None:
    with place.pool.held():
        first = asyncio.create_task(place.look_up("a"))
        await _turns()
        second = asyncio.create_task(place.look_up("b"))
        await _turns()
        flights = [task for task in asyncio.all_tasks() if task.get_name() == "directory.look_up"]
        assert len(flights) == 2
        for flight in flights:
            flight.cancel()
        errors = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in errors] == [SinkUnavailable] * 2
    await place.look_up("a", "b")
    assert None not in place.cards("a", "b")


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_what_is_forgotten_before_it_can_be_read_is_looked_up_again(place: Place, all_of_them: bool) -> None:
    """Without this a device that exists would be refused as unknown."""
    await place.devices.add("d")
    look_up = asyncio.create_task(place.directory.look_up(["d"]))
    flight = await _flight()
    flight.add_done_callback(lambda _: place.directory.forget(None if all_of_them else ["d"]))
    await asyncio.wait_for(look_up, SOON)
    assert None not in place.cards("d")
    assert place.pool.lent == 2


async def _flight() -> "asyncio.Task[None]":
    async with asyncio.timeout(SOON):
        while True:
            for task in asyncio.all_tasks():
                if task.get_name() == "directory.look_up":
                    return task
            await asyncio.sleep(0)


async def test_a_change_seen_while_a_card_is_read_is_not_overlooked(place: Place) -> None:
    await place.devices.add("d")
    await place.look_up("d")
    await place.devices.disable("d")
    place.directory.forget(["d"])
    assert place.cards("d") == [None]
    await place.look_up("d")
    (card,) = place.cards("d")
    assert card is not None
    assert not card.enabled


async def test_caches_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cache, "MAX_CARDS", 10)
    monkeypatch.setattr(device_cache, "MAX_STRANGERS", 10)
    for i in range(25):
        await place.devices.add(f"d{i}")
    for i in range(25):
        await place.look_up(f"d{i}", f"stranger{i}")
        assert None not in place.cards(f"d{i}", f"stranger{i}")
    assert len(place.directory._cards) <= 10
    assert len(place.directory._strangers) <= 10


async def test_ids_found_on_the_way_are_kept_for_the_writer(place: Place) -> None:
    await place.devices.add("d")
    names = Dictionary(place.pool)
    one = TimescaleDirectory(place.pool, names, monotonic=lambda: 0.0)
    await one.look_up(["d", "stranger"])
    assert list(names.devices) == ["d"]
