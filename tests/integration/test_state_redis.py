"""The live state when Valkey hangs, dies, forgets its scripts, or holds what is not ours."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import redis.asyncio
import redis.exceptions

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import NewestMessage
from gateway.state.publisher import Publisher
from gateway.state.store import RedisState, open_state
from gateway.telemetry import prometheus
from tests.builders.batches import NOON
from tests.builders.blocks import block
from tests.builders.completed import complete, whole
from tests.servers import choose
from tests.servers.freezing import frozen

SOON = 20.0
TIMEOUT = 0.2


def _limits(url: str, *, max_rows: int = 1000) -> settings.RedisSettings:
    return settings.RedisSettings(url=url, ack_wait_ms=20, timeout_secs=TIMEOUT, max_pending_rows=max_rows)


@asynccontextmanager
async def publishing(url: str, *, max_rows: int = 1000) -> AsyncIterator[tuple[RedisState, Publisher]]:
    limits = _limits(url, max_rows=max_rows)
    async with open_state(limits, site="test") as state, Publisher(state, limits) as publisher:
        yield state, publisher


async def _shown(state: RedisState, *devices: str) -> list[list[int] | None]:
    """What Redis holds, whether it is known to be all or not."""
    await complete(state)
    await whole(state, *devices)
    return await _times(state, *devices)


async def pid_of(url: str) -> int:
    async with redis.asyncio.from_url(url) as client:
        return int((await client.info("server"))["process_id"])


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - it is the server that comes back
            await asyncio.sleep(0.01)


async def _times(state: RedisState, *devices: str) -> list[list[int] | None]:
    found = await state.read(devices)
    return [None if entries is None else [entry.time_us - NOON for entry in entries] for entries in found]


async def test_a_valkey_that_hangs_delays_nobody_and_gets_everything_later(own_valkey: ValkeyServer) -> None:
    pid = await pid_of(own_valkey.url())
    async with publishing(own_valkey.url()) as (state, publisher):
        await publisher.publish([block("d", 0, doubles=(0.5,))])
        await complete(state)
        with frozen(pid):
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
    before = prometheus.state_skipped_rows._value.get()
    async with publishing(own_valkey.url(), max_rows=10) as (state, publisher):
        await publisher.publish([block("first", 0, doubles=(0.5,))])
        await _until(lambda: not publisher.behind)
        own_valkey.stop()
        for i in range(40):
            await asyncio.wait_for(publisher.publish([block(f"d{i}", i, doubles=(0.5,))]), SOON)
            assert publisher.behind <= 10
        assert prometheus.state_skipped_rows._value.get() - before == 30
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
    with frozen(pid):
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


async def test_a_device_is_one_hash_with_a_field_a_shape_and_a_short_mark(valkey: str) -> None:
    async with open_state(_limits(valkey), site="site") as state, redis.asyncio.from_url(valkey) as client:
        await whole(state, "d")
        await state.apply([block("d", 1, shape=s, doubles=(0.5,)) for s in (1, 2)] + [block("e", 1, texts=("x",))])
        assert sorted(await client.keys()) == [b"gateway:site:d", b"gateway:site:e"]
        assert sorted(await client.hkeys("gateway:site:d")) == [b"\0\0\0\1", b"\0\0\0\2", b"w"]
        assert await client.hget("gateway:site:d", "w") == b"2"
        assert await client.hkeys("gateway:site:e") == [b"\0\0\0\1"]


@pytest.mark.parametrize("lost", ["key", "message", "mark"])
async def test_whatever_is_lost_of_a_device_it_is_not_told_until_it_is_filled_again(valkey: str, lost: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        await complete(state)
        await whole(state, "d")
        blocks = [block("d", after, shape=after, doubles=(0.5,)) for after in (1, 2, 3)]
        await state.apply(blocks)
        assert await _times(state, "d") == [[1, 2, 3]]
        if lost == "key":
            await client.delete("gateway:test:d")
            assert await state.apply(blocks[:1]) == ["d"]
        else:
            await client.hdel("gateway:test:d", b"w" if lost == "mark" else b"\0\0\0\3")
        assert await state.read(["d"]) == [None]
        assert await state.times(["d"]) == [None]
        stored = [NewestMessage(each, NOON + each, (0.5,), (), ()) for each in (1, 2, 3)]
        assert await state.restore(["d"], await state.claim(["d"]), [stored]) == 1
        assert await state.times(["d"]) == [NOON + 3]
        assert sorted((await _times(state, "d"))[0] or ()) == [1, 2, 3]


async def test_keys_of_a_version_that_marked_nothing_are_not_believed(valkey: str) -> None:
    """They may be parts. Such a version left a marker of its own, which holds for this server."""
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        await state.apply([block("d", 1, doubles=(0.5,))])
        run = (await client.info("server"))["run_id"]
        await client.set("gateway:test:#complete", run)
        await client.zadd("gateway:test:#gateways", {"another": 1e15})
        assert not (await state.check()).complete
        await complete(state)
        assert (await state.check()).complete
        assert await state.read(["d"]) == [None]


@pytest.mark.parametrize("held", ["text", "short"])
async def test_what_is_not_ours_is_not_in_the_way_for_ever(valkey: str, held: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        if held == "text":
            await client.set("gateway:test:d", "x")
        else:
            await client.hset("gateway:test:d", b"\0\0\0\1", "x")
        await state.apply([block("d", 1, doubles=(0.5,)), block("e", 1, doubles=(0.5,))])
        assert await _shown(state, "d", "e") == [[1], [1]]


@pytest.mark.parametrize("held", ["text", "field", "marked"])
async def test_what_is_not_ours_is_told_from_an_empty_state(valkey: str, held: str) -> None:
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        if held == "text":
            await client.set("gateway:test:d", "x")
        elif held == "field":
            await client.hset("gateway:test:d", "field", "x")
        else:
            await client.hset("gateway:test:d", mapping={"field": "x", "w": 1})
        await complete(state)
        await whole(state, "e")
        assert await state.times(["d", "e"]) == [None, None]
        assert await state.read(["d", "e"]) == [None, []]
        await state.read(["d"])
        await whole(state, "d")
        await state.read(["d"])  # what could not be read is dropped
        await whole(state, "d")
        assert await state.read(["d", "e"]) == [[], []]


async def test_a_list_of_gateways_that_is_lost_puts_the_state_in_doubt(valkey: str) -> None:
    """It tells who died: without it what somebody committed last may be missing unnoticed."""
    async with open_state(_limits(valkey), site="test") as state, redis.asyncio.from_url(valkey) as client:
        await complete(state)
        assert (await state.check()).complete
        await client.delete("gateway:test:#gateways")
        assert not (await state.check()).complete
        await complete(state)
        assert (await state.check()).complete


async def test_a_server_that_took_over_the_data_of_a_lagging_one_and_leads_again_is_not_believed(
    own_valkey: ValkeyServer,
) -> None:
    """Its run id is the one that the marker names, and the marker came back with older data."""
    async with AsyncExitStack() as stack:
        other = stack.enter_context(choose.valkey())
        state = await stack.enter_async_context(open_state(_limits(own_valkey.url()), site="test"))
        first = await stack.enter_async_context(redis.asyncio.from_url(own_valkey.url()))
        second = await stack.enter_async_context(redis.asyncio.from_url(other.url()))
        await whole(state, "d")
        await complete(state)
        await _replicate(second, own_valkey)
        await second.replicaof("NO", "ONE")
        await state.apply([block("d", 1, doubles=(0.5,))])
        await _replicate(first, other)
        await first.replicaof("NO", "ONE")
        assert await first.hgetall("gateway:test:d") == {b"w": b"0"}
        assert not (await state.check()).complete


async def _replicate(client: "redis.asyncio.Redis", source: ValkeyServer) -> None:
    """Have a server take over all that another one has."""
    await client.replicaof("127.0.0.1", str(source.listen))
    async with asyncio.timeout(SOON):
        while (await client.info("replication")).get("master_link_status") != "up":  # noqa: ASYNC110 - it is the server
            await asyncio.sleep(0.02)
