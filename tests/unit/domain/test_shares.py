"""Shares: a caller that takes all it can, beside another."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.core.errors import TooManyAtOnce
from gateway.domain.shares import Share, Shares


class Place:
    """Shares, and what they refused."""

    def __init__(self, *, wait_secs: float = 0.0) -> None:
        self.refused: list[str] = []
        self.shares = Shares(Share(2, "a.setting", "things", wait_secs), on_refused=self.refused.append)


async def test_one_caller_takes_no_more_than_its_share_and_nothing_from_others() -> None:
    place = Place()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(place.shares.place("greedy"))
        with pytest.raises(TooManyAtOnce, match=r"has 2 things under way.*\(a\.setting\)") as caught:
            await stack.enter_async_context(place.shares.place("greedy"))
        assert (caught.value.details, caught.value.retry_after) == ({"limit": "a.setting", "value": 2}, 1.0)
        await stack.enter_async_context(place.shares.place("modest"))
        assert len(place.shares) == 2
    assert place.refused == ["a.setting"]
    assert len(place.shares) == 0, "nothing is kept of those who are gone"


async def test_a_place_that_becomes_free_in_time_is_taken() -> None:
    place = Place(wait_secs=10)
    leave = asyncio.Event()

    async def stay() -> None:
        async with place.shares.place("one"):
            await leave.wait()

    stays = [asyncio.create_task(stay()) for _ in range(20)]
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(*stays)
    assert place.refused == []
    assert len(place.shares) == 0


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    place = Place(wait_secs=3600)
    async with place.shares.place("one"), place.shares.place("one"):
        waiting = asyncio.create_task(place.shares.place("one").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert len(place.shares) == 0
