"""The live state when Valkey hangs, dies, forgets its scripts, or holds what is not ours."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import redis.asyncio
import redis.exceptions

from gateway import settings
from gateway.errors import StateUnavailable
from gateway.local.valkey import ValkeyServer
from gateway.state.publisher import Publisher
from gateway.state.store import RedisState, open_state
from gateway.telemetry import metrics
from tests.batches import NOON
from tests.blocks import block
from tests.completed import complete

SOON = 20.0
TIMEOUT = 0.2


def _limits(url: str, *, max_rows: int = 1000) -> settings.Redis:
    return settings.Redis(url=url, ack_wait_ms=20, timeout_secs=TIMEOUT, max_pending_rows=max_rows)


@asynccontextmanager
async def publishing(url: str, *, max_rows: int = 1000) -> AsyncIterator[tuple[RedisState, Publisher]]:
    limits = _limits(url, max_rows=max_rows)
    async with open_state(limits, site="test") as state, Publisher(state, limits) as publisher:
        yield state, publisher


async def _shown(state: RedisState, *devices: str) -> list[list[int]]:
    """What Redis holds, whether it is known to be complete or not."""
    await complete(state)
    return await _times(state, *devices)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def pid_of(url: str) -> int:
    async with redis.asyncio.from_url(url) as client:
        return int((await client.info("server"))["process_id"])


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - it is the server that comes back
            await asyncio.sleep(0.01)


async def _times(state: RedisState, *devices: str) -> list[list[int]]:
    return [[entry.time_us - NOON for entry in entries] for entries in await state.read(devices)]


async def test_a_valkey_that_hangs_delays_nobody_and_gets_everything_later(own_valkey: ValkeyServer) -> None:
    pid = await pid_of(own_valkey.url())
    async with publishing(own_valkey.url()) as (state, publisher):
        await publisher.publish([block("d", 0, doubles=(0.5,))])
        await complete(state)
        with paused(pid):
            for i in range(1, 50):
                await asyncio.wait_for(publisher.publish([block("d", i, doubles=(0.5,))]), SOON)
            assert publisher.behind == 49
            await _until(lambda: not publisher.healthy)
            with pytest.raises(StateUnavailable):
                await asyncio.wait_for(state.read(["d"]), SOON)
            with pytest.raises(StateUnavailable):
                await asyncio.wait_for(state.ping(), SOON)
        await _until(lambda: publisher.healthy and not publisher.behind)
        assert await _shown(state, "d") == [[49]]


async def test_what_does_not_fit_while_valkey_is_gone_is_counted(own_valkey: ValkeyServer) -> None:
    before = metrics.state_skipped_rows._value.get()
    async with publishing(own_valkey.url(), max_rows=10) as (state, publisher):
        await publisher.publish([block("first", 0, doubles=(0.5,))])
        await _until(lambda: not publisher.behind)
        own_valkey.stop()
        for i in range(40):
            await asyncio.wait_for(publisher.publish([block(f"d{i}", i, doubles=(0.5,))]), SOON)
            assert publisher.behind <= 10
        assert metrics.state_skipped_rows._value.get() - before == 30
        with pytest.raises(StateUnavailable):
            await state.read(["d0"])
        own_valkey.start()
        await _until(lambda: publisher.healthy and not publisher.behind)
        assert await _shown(state, "d29", "d30", "d39", "first") == [[], [30], [39], [0]]


async def test_it_opens_while_valkey_is_away_and_heals(own_valkey: ValkeyServer) -> None:
    own_valkey.stop()
    async with publishing(own_valkey.url()) as (state, publisher):
        await asyncio.wait_for(publisher.publish([block("d", 1, doubles=(0.5,))]), SOON)
        own_valkey.start()
        await _until(lambda: publisher.healthy and not publisher.behind)
        assert await _shown(state, "d") == [[1]]


async def test_stopping_while_valkey_hangs_ends(own_valkey: ValkeyServer) -> None:
    pid = await pid_of(own_valkey.url())
    with paused(pid):
        async with asyncio.timeout(SOON), publishing(own_valkey.url()) as (_, publisher):
            await publisher.publish([block("d", 1, doubles=(0.5,))])


async def test_a_forgotten_script_is_sent_again(valkey: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        await state.apply([block("d", 1, doubles=(0.5,))])
        await client.script_flush()
        await state.apply([block("d", 2, doubles=(0.5,))])
        assert await _shown(state, "d") == [[2]]


async def test_states_of_two_databases_in_one_valkey_are_apart(valkey: str) -> None:
    async with open_state(_limits(valkey), site="one") as one, open_state(_limits(valkey), site="two") as two:
        await one.apply([block("d", 1, doubles=(0.5,))])
        assert await _shown(two, "d") == [[]]
        assert await _shown(one, "d") == [[1]]


async def test_a_device_is_one_hash_with_a_field_a_shape(valkey: str) -> None:
    async with open_state(_limits(valkey), site="site") as state, redis.asyncio.from_url(valkey) as client:
        await state.apply([block("d", 1, shape=s, doubles=(0.5,)) for s in (1, 2)] + [block("e", 1, texts=("x",))])
        assert sorted(await client.keys()) == [b"gateway:site:d", b"gateway:site:e"]
        assert sorted(await client.hkeys("gateway:site:d")) == [b"\0\0\0\1", b"\0\0\0\2"]


@pytest.mark.parametrize("held", ["text", "short"])
async def test_what_is_not_ours_is_not_in_the_way_for_ever(valkey: str, held: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        if held == "text":
            await client.set("gateway:test:d", "x")
        else:
            await client.hset("gateway:test:d", b"\0\0\0\1", "x")
        await state.apply([block("d", 1, doubles=(0.5,)), block("e", 1, doubles=(0.5,))])
        assert await _shown(state, "d", "e") == [[1], [1]]


@pytest.mark.parametrize("held", ["text", "field"])
async def test_what_is_not_ours_is_told_from_an_empty_state(valkey: str, held: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        if held == "text":
            await client.set("gateway:test:d", "x")
        else:
            await client.hset("gateway:test:d", "field", "x")
        await complete(state)
        for devices in (["d"], ["d", "e"]):
            with pytest.raises(StateUnavailable):
                await state.read(devices)
