"""Kept receipts are bounded: one device floods Redis with answers, and nobody else's answer or state is lost by it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.idempotency import AnswerKey, Claim, KeptAnswer
from gateway.state.change_log import open_change_log
from gateway.state.idempotency import MEMORY_SHARE, RedisIdempotency, open_idempotency
from gateway.telemetry import prometheus

MINE = b"m" * 32
OWN, ALL = 2**17, 2**20
ANSWER_BYTES = 10_000
SMALL = b'{"accepted":1,"duplicates":0,"conflicts":0,"refused":0,"durability":"db","errors":[]}'
TIGHT = settings.HttpSettings(idempotency_bytes=ALL, idempotency_credential_bytes=OWN)


class Place(NamedTuple):
    store: RedisIdempotency
    client: Any

    async def keep(self, credential: str, *keys: str, body: bytes | None = None) -> None:
        for key in keys:
            name = AnswerKey(credential, f"{credential}/{key}")
            claim = await self.store.claim(name, MINE)
            assert isinstance(claim, Claim), "it is kept already"
            kept = KeptAnswer(MINE, 207, secrets.token_bytes(ANSWER_BYTES) if body is None else body)
            assert await self.store.keep(name, claim, kept)

    async def has(self, credential: str, *keys: str) -> list[bool]:
        """Ask without leaving a claim."""
        return [
            bool(await self.client.hexists(f"gateway:s/answers:of:{credential}", f"{credential}/{key}")) for key in keys
        ]

    async def memory(self) -> int:
        """What all that is kept takes, as the server counts it."""
        return sum([await self.client.memory_usage(name, samples=0) async for name in self.client.scan_iter("*")])


@pytest.fixture
async def place(valkey: str) -> AsyncIterator[Place]:
    branch = settings.RedisSettings(url=valkey, ack_wait_ms=5000)
    async with open_idempotency(branch, TIGHT) as store, redis.asyncio.from_url(valkey) as client:
        store.belong_to("s")
        yield Place(store, client)


def evicted(limit: str) -> float:
    return float(prometheus.idempotency_evicted[(f"http.{limit}",)]._value.get())


async def test_a_flood_of_one_credential_pushes_out_its_own_oldest_only(place: Place) -> None:
    before = evicted("idempotency_credential_bytes"), evicted("idempotency_bytes")
    await place.keep("honest", "a", "b", "c", body=SMALL)
    flood = [f"flood-{n}" for n in range(100)]
    await place.keep("flooding", *flood)
    most = OWN // (ANSWER_BYTES + 300)
    held = await place.has("flooding", *flood)
    assert held == [False] * (100 - sum(held)) + [True] * sum(held), "the oldest go first"
    assert most - 1 <= sum(held) <= most + 1
    assert await place.has("honest", "a", "b", "c") == [True] * 3
    assert await place.memory() < 1.3 * OWN
    assert evicted("idempotency_credential_bytes") - before[0] == 100 - sum(held)
    assert evicted("idempotency_bytes") == before[1]


async def test_small_answers_are_counted_for_what_they_take(place: Place) -> None:
    await place.keep("flooding", *[f"{n:032}" for n in range(700)], body=SMALL)
    assert 0.6 * OWN < await place.memory() < 1.1 * OWN


async def test_many_floods_leave_everybody_a_fair_share(place: Place) -> None:
    before = evicted("idempotency_bytes")
    await place.keep("honest", *[str(n) for n in range(20)], body=SMALL)
    for turn in range(14):
        await asyncio.gather(*[place.keep(f"flooding-{who}", str(turn)) for who in range(20)])
    assert await place.has("honest", *[str(n) for n in range(20)]) == [True] * 20
    held = [sum(await place.has(f"flooding-{who}", *[str(turn) for turn in range(14)])) for who in range(20)]
    assert min(held) >= ALL // 21 // (ANSWER_BYTES + 300) - 1
    assert await place.memory() < 1.3 * ALL
    assert evicted("idempotency_bytes") > before


async def test_of_a_small_server_answers_take_a_share(own_valkey: ValkeyServer) -> None:
    """With noeviction, the default: what fills the memory makes every write of the state fail."""
    branch = settings.RedisSettings(url=own_valkey.url(), ack_wait_ms=5000)
    async with (
        open_idempotency(branch, settings.HttpSettings(idempotency_credential_bytes=64 * 2**20)) as store,
        redis.asyncio.from_url(own_valkey.url()) as client,
    ):
        store.belong_to("s")
        room = 4 * 2**20
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] + room)
        await Place(store, client).keep("flooding", *[str(n) for n in range(400)])
        maxmemory = (await client.info("memory"))["maxmemory"]
        assert await Place(store, client).memory() < 1.3 * maxmemory / MEMORY_SHARE
        for n in range(100):
            await client.hset(f"gateway:s:d{n}", "field", secrets.token_hex(500))


async def test_of_a_small_server_the_log_of_changes_takes_a_share(own_valkey: ValkeyServer) -> None:
    branch = settings.RedisSettings(url=own_valkey.url())
    async with (
        open_change_log(branch, settings.LiveSettings(), site=lambda: "s") as log,
        redis.asyncio.from_url(own_valkey.url()) as client,
    ):
        for maxmemory, most in ((0, settings.LiveSettings().replay_bytes), (2**25, 2**23), (2**40, 64 * 2**20)):
            await client.config_set("maxmemory", maxmemory)
            await log.watch()
            assert await client.hget("gateway:s:#watch", "max_bytes") == str(most).encode()


async def test_a_full_server_keeps_nothing_more(own_valkey: ValkeyServer) -> None:
    branch = settings.RedisSettings(url=own_valkey.url(), ack_wait_ms=5000)
    async with open_idempotency(branch, TIGHT) as store, redis.asyncio.from_url(own_valkey.url()) as client:
        store.belong_to("s")
        claim = await store.claim(AnswerKey("c", "c/k"), MINE)
        assert isinstance(claim, Claim)
        await client.config_set("maxmemory", 1)
        with pytest.raises(StateUnavailable):
            await store.keep(AnswerKey("c", "c/k"), claim, KeptAnswer(MINE, 200, SMALL))
        await client.config_set("maxmemory", 0)
        assert await Place(store, client).has("c", "k") == [False]


@pytest.mark.parametrize("lost", ["order:c", "of:c", "shares", "ends"])
async def test_what_redis_loses_counts_no_more(place: Place, lost: str) -> None:
    """Redis may evict any of the keys, and the bounds hold all the same."""
    keys = [str(n) for n in range(10)]
    await place.keep("c", *keys)
    await place.client.delete(f"gateway:s/answers:{lost}")
    await place.keep("c", *[f"later-{n}" for n in range(40)])
    assert (await place.has("c", "later-39", "later-38")) == [True, True]
    assert await place.memory() < 1.4 * OWN
    counted = await place.client.zscore("gateway:s/answers:shares", "")
    assert counted is not None
    assert 0 < counted <= ALL


async def test_what_has_ended_counts_no_more(place: Place) -> None:
    place.store._keep_secs = 1
    await place.keep("gone", *[str(n) for n in range(5)])
    await place.keep("c", "first")
    async with asyncio.timeout(10):
        while await place.has("c", "first") == [True]:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    place.store._keep_secs = 60
    await place.keep("c", "second", body=SMALL)
    shares = dict(await place.client.zrange("gateway:s/answers:shares", 0, -1, withscores=True))
    assert set(shares) == {b"c", b""}
    assert shares[b"c"] == shares[b""] < 1000
