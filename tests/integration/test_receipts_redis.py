"""Kept receipts on a real Valkey: what expires when, what stays apart, what happens without a server."""

import pytest
import redis.asyncio

from gateway.app.dev_servers.ports import free_port
from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.idempotency import AnswerKey, Claim, KeptAnswer
from gateway.state.idempotency import CLAIM_SECS, RedisIdempotency, open_idempotency

MINE = b"m" * 32
K = AnswerKey("a credential", "k")
HTTP = settings.HttpSettings(idempotency_hours=1)


def branch(url: str) -> settings.RedisSettings:
    return settings.RedisSettings(url=url, ack_wait_ms=5000)


async def test_a_claim_is_short_and_an_answer_is_long(valkey: str) -> None:
    async with (
        open_idempotency(branch(valkey), HTTP) as store,
        redis.asyncio.from_url(valkey) as client,
    ):
        store.belong_to("s")
        claim = await store.claim(K, MINE)
        assert isinstance(claim, Claim)
        (name,) = await client.keys()
        assert 0 < await client.ttl(name) <= CLAIM_SECS
        await client.expire(name, 1)
        await store.renew(K, claim)
        assert 1 < await client.ttl(name) <= CLAIM_SECS
        await store.keep(K, claim, KeptAnswer(MINE, 200, b"{}"))
        names = await client.keys()
        assert len(names) == 4
        assert all([CLAIM_SECS < await client.ttl(each) <= 3600 for each in names])


async def test_installations_on_one_server_do_not_meet(valkey: str) -> None:
    async with open_idempotency(branch(valkey), HTTP) as a, open_idempotency(branch(valkey), HTTP) as b:
        a.belong_to("a")
        b.belong_to("b")
        assert isinstance(await a.claim(K, MINE), Claim)
        assert isinstance(await b.claim(K, MINE), Claim)


async def test_nothing_is_kept_before_the_database_is_known(valkey: str) -> None:
    async with open_idempotency(branch(valkey), HTTP) as store:
        await _answers_nothing(store)
    async with redis.asyncio.from_url(valkey) as client:
        assert await client.keys() == []


async def test_without_a_server_each_call_says_so() -> None:
    async with open_idempotency(branch(f"redis://127.0.0.1:{free_port()}"), HTTP) as store:
        store.belong_to("s")
        await _answers_nothing(store)


async def test_a_value_that_is_not_ours_is_not_an_answer(valkey: str) -> None:
    async with (
        open_idempotency(branch(valkey), HTTP) as store,
        redis.asyncio.from_url(valkey) as client,
    ):
        store.belong_to("s")
        await store.claim(K, MINE)
        (name,) = await client.keys()
        await client.set(name, b"short")
        with pytest.raises(StateUnavailable):
            await store.claim(K, MINE)


async def _answers_nothing(store: RedisIdempotency) -> None:
    claim = Claim(MINE, b"me", 0)
    calls = (
        store.claim(K, MINE),
        store.renew(K, claim),
        store.keep(K, claim, KeptAnswer(MINE, 200, b"")),
        store.release(K, claim),
        store.removed(["d1"], since_us=0),
    )
    for call in calls:
        with pytest.raises(StateUnavailable):
            await call
