"""One suite for every spool: the one on disk and the in-memory one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from gateway.core import settings
from gateway.core.errors import SpoolFull
from gateway.domain.contracts.ingest import Spool
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch
from gateway.ingest.spool.folder import open_spools
from tests.builders.batches import Message, Reading, batch, readings
from tests.builders.spooled import readings_of
from tests.fakes import ManualClock
from tests.fakes.spool import MemorySpool

AMPLE = 2**30


class Waiting(Spool, Protocol):
    """What both spools say beyond the contract."""

    @property
    def readings(self) -> int: ...


Open = Callable[[int], AbstractAsyncContextManager[Waiting]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def open_one(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Open:
    @asynccontextmanager
    async def opened(max_bytes: int) -> AsyncIterator[Waiting]:
        if request.param == "memory":
            yield MemorySpool(max_bytes=max_bytes, clock=clock)
            return
        limits = settings.SpoolSettings(dir=str(tmp_path / "spool"), max_bytes=max_bytes)
        async with open_spools(limits, "w", layouts=Layouts(), clock=clock) as spools:
            yield spools.own

    return opened


def messages(i: int, count: int) -> list[Message]:
    return [(f"d{i}", n, {"t": i + 0.5, "s": "x" * 10}) for n in range(count)]


def numbered(i: int, count: int = 1) -> Batch:
    return batch(Layouts(), *messages(i, count))


def listed(i: int, count: int = 1) -> list[Reading]:
    return readings(*messages(i, count))


async def fill(spool: Spool) -> int:
    """Append until there is no room; return the messages that were taken."""
    for taken in range(1000):
        try:
            await spool.append([numbered(1, 200)])
        except SpoolFull:
            return taken * 200
    pytest.fail("it has no end")


async def devices(spool: Spool, max_rows: int = 1000) -> list[str]:
    return [each.batch.devices[0] for each in await spool.oldest(max_rows)]


async def test_what_was_appended_comes_back_whole_and_in_order(open_one: Open) -> None:
    async with open_one(AMPLE) as spool:
        await spool.append([numbered(1), numbered(2, 3)])
        await spool.append([numbered(3)])
        found = await spool.oldest(1000)
        assert [readings_of([each.batch]) for each in found] == [listed(1), listed(2, 3), listed(3)]
        assert len({each.id for each in found}) == 3
        assert await devices(spool) == ["d1", "d2", "d3"]  # looking takes nothing away


async def test_what_was_removed_is_gone_and_its_id_is_not_used_again(open_one: Open) -> None:
    async with open_one(AMPLE) as spool:
        await spool.append([numbered(1), numbered(2), numbered(3)])
        first, second, third = await spool.oldest(1000)
        await spool.remove([second.id])
        assert await devices(spool) == ["d1", "d3"]
        await spool.remove([first.id, third.id])
        assert await devices(spool) == []
        await spool.append([numbered(4)])
        await spool.remove([first.id, second.id, third.id])
        assert await devices(spool) == ["d4"]


async def test_as_many_are_returned_as_hold_the_messages_asked_for(open_one: Open) -> None:
    async with open_one(AMPLE) as spool:
        await spool.append([numbered(1, 3), numbered(2, 2), numbered(3, 1)])
        assert await devices(spool, 1) == ["d1"]
        assert await devices(spool, 4) == ["d1"]
        assert await devices(spool, 5) == ["d1", "d2"]
        assert await devices(spool, 6) == ["d1", "d2", "d3"]


async def test_what_waits_is_counted(open_one: Open, clock: ManualClock) -> None:
    async with open_one(AMPLE) as spool:
        empty = spool.size
        assert (spool.rows, spool.readings, spool.oldest_us) == (0, 0, None)
        since = clock.now_us()
        await spool.append([numbered(1, 3)])
        clock.advance(5)
        await spool.append([numbered(2)])
        assert (spool.rows, spool.readings, spool.oldest_us) == (4, 8, since)
        await spool.append([numbered(3, 2000)])
        assert spool.size > empty + 16 * 2000
        await spool.remove([each.id for each in await spool.oldest(1)])
        assert (spool.rows, spool.oldest_us) == (2001, clock.now_us())
        await spool.remove([each.id for each in await spool.oldest(5000)])
        assert (spool.rows, spool.readings, spool.oldest_us) == (0, 0, None)
        assert spool.size < empty + 16 * 2000


async def test_full_is_said_and_of_the_call_nothing_is_kept(open_one: Open) -> None:
    async with open_one(300_000) as spool:
        await spool.append([numbered(1, 500)])
        before = (spool.rows, spool.size)
        with pytest.raises(SpoolFull) as told:
            await spool.append([numbered(2), numbered(3, 20_000)])
        assert told.value.details == {"limit": "spool.max_bytes"}
        assert (spool.rows, spool.size) == before
        assert await devices(spool) == ["d1"]


async def test_removing_makes_room(open_one: Open) -> None:
    async with open_one(200_000) as spool:
        taken = await fill(spool)
        assert taken >= 400
        for _ in range(3):
            assert spool.rows == taken
            await spool.remove([each.id for each in await spool.oldest(taken)])
            assert await fill(spool) == taken


async def test_nothing_is_nothing(open_one: Open) -> None:
    async with open_one(1) as spool:
        await spool.append([])
        await spool.remove([])
        assert await spool.oldest(10) == []
