"""Kept receipts on a real Valkey: what expires when, what stays apart, what happens without a server."""

import pytest
import redis.asyncio

from gateway import settings
from gateway.contracts import Kept
from gateway.errors import StateUnavailable
from gateway.local.ports import free_port
from gateway.state.receipts import CLAIM_SECS, RedisReceipts, open_receipts

MINE = b"m" * 32


def branch(url: str) -> settings.Redis:
    return settings.Redis(url=url, ack_wait_ms=5000)


async def test_a_claim_is_short_and_an_answer_is_long(valkey: str) -> None:
    async with (
        open_receipts(branch(valkey), keep_secs=3600) as store,
        redis.asyncio.from_url(valkey) as client,
    ):
        store.belong_to("s")
        await store.claim("k", MINE)
        (name,) = await client.keys()
        assert 0 < await client.ttl(name) <= CLAIM_SECS
        await store.keep("k", Kept(MINE, 200, b"{}"))
        assert CLAIM_SECS < await client.ttl(name) <= 3600


async def test_installations_on_one_server_do_not_meet(valkey: str) -> None:
    async with open_receipts(branch(valkey), keep_secs=60) as a, open_receipts(branch(valkey), keep_secs=60) as b:
        a.belong_to("a")
        b.belong_to("b")
        assert await a.claim("k", MINE) is None
        assert await b.claim("k", MINE) is None


async def test_nothing_is_kept_before_the_database_is_known(valkey: str) -> None:
    async with open_receipts(branch(valkey), keep_secs=60) as store:
        await _answers_nothing(store)
    async with redis.asyncio.from_url(valkey) as client:
        assert await client.keys() == []


async def test_without_a_server_each_call_says_so() -> None:
    async with open_receipts(branch(f"redis://127.0.0.1:{free_port()}"), keep_secs=60) as store:
        store.belong_to("s")
        await _answers_nothing(store)


async def test_a_value_that_is_not_ours_is_not_an_answer(valkey: str) -> None:
    async with (
        open_receipts(branch(valkey), keep_secs=60) as store,
        redis.asyncio.from_url(valkey) as client,
    ):
        store.belong_to("s")
        await store.claim("k", MINE)
        (name,) = await client.keys()
        await client.set(name, b"short")
        with pytest.raises(StateUnavailable):
            await store.claim("k", MINE)


async def _answers_nothing(store: RedisReceipts) -> None:
    for call in (store.claim("k", MINE), store.keep("k", Kept(MINE, 200, b"")), store.release("k")):
        with pytest.raises(StateUnavailable):
            await call
