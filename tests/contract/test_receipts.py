"""One suite for every store of receipts: the one in Valkey, and the in-memory one."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core import settings
from gateway.domain.contracts.idempotency import AnswerKey, Claim, IdempotencyStore, KeptAnswer
from gateway.state.idempotency import open_idempotency
from gateway.state.store import open_state
from tests.fakes.receipts import MemoryReceipts

MINE, OTHER = b"\0" * 32, bytes(range(32))
K, BEFORE, AFTER, ANOTHER = [AnswerKey("a credential", key) for key in ("k", "before", "after", "another")]


class Place(NamedTuple):
    receipts: IdempotencyStore
    remove: Callable[[str, int], Awaitable[None]]
    """Note that a device with this id was removed."""
    run_out: Callable[[], Awaitable[None]]
    """Let what is claimed run out."""


@pytest.fixture(params=["memory", "valkey"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        store = MemoryReceipts()

        async def remove(device: str, device_id: int) -> None:
            store.remove(device, device_id)

        async def run_out() -> None:
            store.run_out()

        yield Place(store, remove, run_out)
        return
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    site, branch = secrets.token_hex(8), settings.RedisSettings(url=server.url(), ack_wait_ms=5000)
    async with open_idempotency(branch, settings.HttpSettings()) as kept, open_state(branch, site=site) as state:
        kept.belong_to(site)

        async def expire() -> None:
            async for name in state._client.scan_iter(f"gateway:{site}/answers:*"):
                await state._client.delete(name)

        yield Place(kept, state.note_removal, expire)


@pytest.fixture
def receipts(place: Place) -> IdempotencyStore:
    return place.receipts


async def claimed(receipts: IdempotencyStore, key: AnswerKey, fingerprint: bytes = MINE) -> Claim:
    claim = await receipts.claim(key, fingerprint)
    assert isinstance(claim, Claim)
    return claim


async def test_the_first_claims_and_the_others_see_that_it_runs(receipts: IdempotencyStore) -> None:
    answers = await asyncio.gather(*(receipts.claim(K, MINE) for _ in range(20)))
    assert [isinstance(answer, Claim) for answer in answers].count(True) == 1
    assert answers.count(KeptAnswer(MINE, 0, b"")) == 19
    await claimed(receipts, ANOTHER)


@pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256)) * 500])
async def test_what_is_kept_comes_back_to_the_byte(receipts: IdempotencyStore, body: bytes) -> None:
    kept = KeptAnswer(OTHER, 207, body, 1_700_000_000_000_000)
    await receipts.keep(K, await claimed(receipts, K, OTHER), kept)
    for _ in range(2):
        assert await receipts.claim(K, MINE) == kept


async def test_a_released_key_can_be_claimed_again(receipts: IdempotencyStore) -> None:
    claim = await claimed(receipts, K)
    await receipts.renew(K, claim)
    await receipts.release(K, claim)
    await claimed(receipts, K, OTHER)
    await receipts.release(ANOTHER, claim)


async def test_nobody_undoes_the_claim_of_another(place: Place) -> None:
    receipts = place.receipts
    slow = await claimed(receipts, K)
    await place.run_out()
    quick = await claimed(receipts, K)
    await receipts.release(K, slow)
    await receipts.renew(K, slow)
    await receipts.keep(K, slow, KeptAnswer(MINE, 200, b"of the slow one"))
    assert await receipts.claim(K, MINE) == KeptAnswer(MINE, 0, b"")
    await receipts.keep(K, quick, KeptAnswer(MINE, 200, b"of the quick one"))
    await receipts.keep(K, slow, KeptAnswer(MINE, 200, b"of the slow one"))
    await receipts.release(K, slow)
    assert await receipts.claim(K, MINE) == KeptAnswer(MINE, 200, b"of the quick one")


async def test_a_claim_that_nobody_took_over_is_still_its_owners(place: Place) -> None:
    receipts = place.receipts
    claim = await claimed(receipts, K)
    await place.run_out()
    await receipts.keep(K, claim, KeptAnswer(MINE, 200, b"late"))
    assert await receipts.claim(K, MINE) == KeptAnswer(MINE, 200, b"late")


async def test_an_answer_is_given_up_only_if_it_is_the_one_that_is_meant(receipts: IdempotencyStore) -> None:
    kept = KeptAnswer(MINE, 200, b"{}", 5)
    await receipts.keep(K, await claimed(receipts, K), kept)
    await receipts.release(K, kept._replace(since_us=4))
    assert await receipts.claim(K, MINE) == kept
    await receipts.release(K, kept)
    await claimed(receipts, K)


async def test_keys_of_two_credentials_do_not_meet(receipts: IdempotencyStore) -> None:
    mine, yours = AnswerKey("one", "of one"), AnswerKey("another", "of another")
    await receipts.keep(mine, await claimed(receipts, mine), KeptAnswer(MINE, 200, b"{}"))
    await claimed(receipts, yours)


async def test_what_is_too_large_is_said_and_its_claim_stays(receipts: IdempotencyStore) -> None:
    claim = await claimed(receipts, K)
    assert not await receipts.keep(K, claim, KeptAnswer(MINE, 207, secrets.token_bytes(2**20 + 1)))
    assert await receipts.claim(K, MINE) == KeptAnswer(MINE, 0, b"")
    assert await receipts.keep(K, claim, KeptAnswer(MINE, 207, b"less"))
    assert await receipts.claim(K, MINE) == KeptAnswer(MINE, 207, b"less")


async def test_a_removal_is_known_to_what_was_claimed_before_it(place: Place) -> None:
    receipts = place.receipts
    assert not await receipts.removed([], since_us=0)
    before = await claimed(receipts, BEFORE)
    await place.remove("d1", 7)
    after = await claimed(receipts, AFTER)
    assert await receipts.removed(["d2", "d1"], since_us=before.since_us)
    assert not await receipts.removed(["d2"], since_us=before.since_us)
    assert not await receipts.removed(["d1"], since_us=after.since_us)
    await place.remove("d1", 7)  # a later pass over what is left of the same device
    assert not await receipts.removed(["d1"], since_us=after.since_us)
    await place.remove("d1", 11)  # the one that was made in its place
    assert await receipts.removed(["d1"], since_us=after.since_us)
