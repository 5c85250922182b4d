"""One suite for every store of receipts: the one in Valkey, and the in-memory one."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from gateway import settings
from gateway.contracts import Kept, Receipts
from gateway.local.valkey import ValkeyServer
from gateway.state.receipts import open_receipts
from gateway.testing.receipts import MemoryReceipts

MINE, OTHER = b"\0" * 32, bytes(range(32))


@pytest.fixture(params=["memory", "valkey"])
async def receipts(request: pytest.FixtureRequest) -> AsyncIterator[Receipts]:
    if request.param == "memory":
        yield MemoryReceipts()
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    async with open_receipts(settings.Redis(url=server.url(), ack_wait_ms=5000), keep_secs=60) as store:
        store.belong_to(secrets.token_hex(8))
        yield store


async def test_the_first_claims_and_the_others_see_that_it_runs(receipts: Receipts) -> None:
    answers = await asyncio.gather(*(receipts.claim("k", MINE) for _ in range(20)))
    assert answers.count(None) == 1
    assert answers.count(Kept(MINE, 0, b"")) == 19
    assert await receipts.claim("another", MINE) is None


@pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256)) * 500])
async def test_what_is_kept_comes_back_to_the_byte(receipts: Receipts, body: bytes) -> None:
    assert await receipts.claim("k", OTHER) is None
    await receipts.keep("k", Kept(OTHER, 207, body))
    for _ in range(2):
        assert await receipts.claim("k", MINE) == Kept(OTHER, 207, body)


async def test_a_released_key_can_be_claimed_again(receipts: Receipts) -> None:
    assert await receipts.claim("k", MINE) is None
    await receipts.release("k")
    assert await receipts.claim("k", OTHER) is None
    await receipts.release("never claimed")
