"""The rules of a rebuild: one at a time, worthless when something is lost meanwhile, tried again, ended in time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from gateway.core import settings
from gateway.core.errors import SinkUnavailable, StateUnavailable
from gateway.domain.contracts.newest import DevicePage, NewestMessage
from gateway.state import rebuilder
from gateway.state.rebuilder import StateWatcher
from gateway.state.store import Progress, open_state
from tests.integration.live_gateways import SOON, living, quicken, until
from tests.servers.databases import Database


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


async def test_of_two_gateways_one_rebuilds_and_a_loss_meanwhile_makes_it_worthless(valkey: str) -> None:
    limits, start = settings.RedisSettings(url=valkey), Progress(0, 10)
    async with open_state(limits, site="test") as one, open_state(limits, site="test") as two:
        server = (await one.check()).server
        assert await one.step("begin", progress=start, server=server)
        assert not await two.step("begin", progress=start, server=server)
        assert not await two.step("finish", progress=start, server=server)
        assert await one.step("go on", progress=Progress(4, 10), server=server)
        assert (await two.check()).rebuild == Progress(4, 10)
        await two.mark_incomplete()
        assert not await one.step("go on", progress=Progress(5, 10), server=server)
        assert not await one.step("finish", progress=Progress(10, 10), server=server)
        assert await two.step("begin", progress=start, server=server)
        assert not await two.step("finish", progress=start, server=b"another")
        assert not (await one.check()).complete
        assert await two.step("begin", progress=start, server=server)
        assert await two.step("finish", progress=start, server=server)
        assert [(await each.check()).complete for each in (one, two)] == [True, True]


async def test_every_gateway_shows_how_far_the_rebuild_is(timescale_db: Database, valkey: str) -> None:
    async with open_state(settings.RedisSettings(url=valkey), site="test") as other:
        server = (await other.check()).server
        assert await other.step("begin", progress=Progress(3, 9), server=server)
        async with living(timescale_db.url, valkey) as one:
            shown = {"complete": False, "rebuilding": True, "done": 3, "total": 9}

            async def is_shown() -> bool:
                return shown.items() <= one.watcher.facts().items()

            await until(is_shown)
            with pytest.raises(StateUnavailable):
                await one.state.read(["d0"])
            assert await other.step("finish", progress=Progress(9, 9), server=server)
            await one.whole()


class Failing:
    """`contracts.NewestStored` that cannot be reached for the first pages."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.sizes: list[int] = []

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage]]:
        return [[] for _ in devices]

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        return [None for _ in devices]

    async def count(self) -> int:
        return 1

    async def page(self, after: int, *, size: int) -> DevicePage:
        self.sizes.append(size)
        if len(self.sizes) <= self.failures:
            raise SinkUnavailable
        return DevicePage([], 0, after)


async def test_a_rebuild_that_fails_is_tried_again_with_less_at_once(valkey: str) -> None:
    stored = Failing(3)
    async with (
        open_state(settings.RedisSettings(url=valkey), site="test") as state,
        StateWatcher(state, stored) as watcher,
    ):

        async def complete() -> bool:
            return watcher.facts()["complete"] is True

        await until(complete)
    assert stored.sizes == [16, 8, 4, 2]


class Stuck(Failing):
    """Does not even hear that it is to stop, as a query to a database that hangs."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def page(self, after: int, *, size: int) -> DevicePage:
        self.asked.set()
        waiting = asyncio.create_task(self.answer.wait())
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)
        return await super().page(after, size=size)


async def test_stopping_does_not_wait_for_a_database_that_hangs(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilder, "STOP_SECS", 0.1)
    stored = Stuck()
    async with open_state(settings.RedisSettings(url=valkey), site="test") as state, asyncio.timeout(SOON):
        async with StateWatcher(state, stored) as watcher:
            await stored.asked.wait()
        assert watcher._rebuilding is not None
        assert not watcher._rebuilding.done()
        stored.answer.set()
        await asyncio.wait([watcher._rebuilding])
        assert not (await state.check()).rebuild
