"""The authenticator's look-ups: shared, bounded, and never overtaken by a revocation."""

import asyncio
import logging

import pytest

from gateway.core.errors import GatewayError, Overloaded, SinkFault, SinkUnavailable, Unauthorized
from gateway.domain.credentials import digest_of, new_token
from gateway.domain.principal import Principal, Role
from gateway.ingest.admission import auth
from gateway.ingest.admission.auth import TokenAuthenticator
from tests.fakes.clock import ManualClock
from tests.unit.ingest.admission.scripted_store import DEVICE, DIGEST, HEADER, ScriptedStore, until


async def test_many_who_present_one_token_share_one_look_up(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.open.clear()
    calls = [asyncio.create_task(authenticator.authenticate(HEADER)) for _ in range(100)]
    await until(lambda: store.running == 1)
    store.open.set()
    assert set(await asyncio.gather(*calls)) == {DEVICE}
    assert store.asked == [DIGEST]


async def test_the_caller_that_started_a_look_up_may_leave(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.open.clear()
    first = asyncio.create_task(authenticator.authenticate(HEADER))
    await until(lambda: store.running == 1)
    second = asyncio.create_task(authenticator.authenticate(HEADER))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    store.open.set()
    assert await second == DEVICE
    assert store.asked == [DIGEST]


async def test_look_ups_at_once_are_bounded(authenticator: TokenAuthenticator, store: ScriptedStore) -> None:
    tokens = [new_token(Role.DEVICE) for _ in range(50)]
    store.answers.update({digest_of(token): (DEVICE, None) for token in tokens})
    store.open.clear()
    calls = [asyncio.create_task(authenticator.authenticate(f"Bearer {token}")) for token in tokens]
    await until(lambda: store.running == auth.LOOK_UP_SLOTS)
    store.open.set()
    await asyncio.gather(*calls)
    assert store.most_running == auth.LOOK_UP_SLOTS
    assert len(store.asked) == 50


async def test_too_many_waiting_look_ups_are_overload_and_pass(
    authenticator: TokenAuthenticator, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_LOOK_UPS", 3)
    store.open.clear()
    others = [f"Bearer {new_token(Role.DEVICE)}" for _ in range(3)]
    waiting = [asyncio.create_task(authenticator.authenticate(other)) for other in others]
    await until(lambda: store.running == 3)
    with pytest.raises(Overloaded):
        await authenticator.authenticate(HEADER)
    store.open.set()
    assert all(isinstance(r, Unauthorized) for r in await asyncio.gather(*waiting, return_exceptions=True))
    assert await authenticator.authenticate(HEADER) == DEVICE


@pytest.mark.parametrize("failure", [SinkUnavailable(retry_after=3.0), SinkFault()])
async def test_a_store_that_is_away_is_said_to_each_caller_and_not_remembered(
    authenticator: TokenAuthenticator, store: ScriptedStore, failure: GatewayError
) -> None:
    store.answers[DIGEST] = failure
    store.open.clear()
    calls = [asyncio.create_task(authenticator.authenticate(HEADER)) for _ in range(3)]
    await until(lambda: store.running == 1)
    store.open.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in errors] == [type(failure)] * 3
    assert len({id(one) for one in errors}) == 3
    assert all(isinstance(one, GatewayError) and one.retry_after == failure.retry_after for one in errors)
    store.answers[DIGEST] = (DEVICE, None)
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_a_token_that_was_just_issued_is_good_once_told(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.answers.clear()
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)
    store.answers[DIGEST] = (DEVICE, None)
    authenticator.forget([DIGEST])
    assert await authenticator.authenticate(HEADER) == DEVICE


@pytest.mark.parametrize("digests", [[DIGEST], None])
async def test_a_revoked_token_is_refused_once_told(
    authenticator: TokenAuthenticator, store: ScriptedStore, digests: list[bytes] | None
) -> None:
    await authenticator.authenticate(HEADER)
    store.answers.clear()
    authenticator.forget(digests)
    assert authenticator.principal(HEADER) is None
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)


async def test_forgetting_one_token_keeps_the_others(authenticator: TokenAuthenticator, store: ScriptedStore) -> None:
    await authenticator.authenticate(HEADER)
    authenticator.forget([digest_of("another")])
    assert authenticator.principal(HEADER) == DEVICE


async def test_an_answer_that_a_revocation_overtook_is_neither_given_nor_cached(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.open.clear()
    call = asyncio.create_task(authenticator.authenticate(HEADER))
    await until(lambda: store.running == 1)  # the store has read "valid" and is slow to say so
    store.answers.clear()
    authenticator.forget([DIGEST])
    store.open.set()
    with pytest.raises(Unauthorized):
        await call
    assert authenticator.principal(HEADER) is None
    assert store.asked == [DIGEST, DIGEST]


async def test_changes_without_end_do_not_hold_a_caller_up_for_ever(store: ScriptedStore, clock: ManualClock) -> None:
    class Restless(ScriptedStore):
        async def find(self, digest: bytes) -> tuple[Principal, int | None] | None:
            subject.forget([])
            return await super().find(digest)

    restless = Restless()
    restless.answers = store.answers
    subject = TokenAuthenticator(restless, admin_key="", clock=clock)
    assert await subject.authenticate(HEADER) == DEVICE
    assert subject.principal(HEADER) is None, "an answer of unknown age must not be cached"


async def test_the_caches_are_bounded(
    store: ScriptedStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_REFUSED", 5)
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock, cache_size=5)
    tokens = [new_token(Role.DEVICE) for _ in range(20)]
    store.answers.update({digest_of(token): (DEVICE, None) for token in tokens})
    for token in tokens:
        await authenticator.authenticate(f"Bearer {token}")
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(f"Bearer {new_token(Role.READER)}")
    known = [token for token in tokens if authenticator.principal(f"Bearer {token}")]
    assert known == tokens[-5:], "the oldest make room"
    assert len(authenticator._refused) == 5


async def test_closing_ends_the_look_ups_in_hand(authenticator: TokenAuthenticator, store: ScriptedStore) -> None:
    store.open.clear()
    call = asyncio.create_task(authenticator.authenticate(HEADER))
    await until(lambda: store.running == 1)
    await authenticator.close()
    assert store.running == 0
    with pytest.raises(SinkUnavailable):  # it asks again, of whoever serves then
        await call


async def test_a_failed_look_up_that_nobody_waits_for_is_quiet(
    authenticator: TokenAuthenticator, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.answers[DIGEST] = SinkUnavailable()
    store.open.clear()
    call = asyncio.create_task(authenticator.authenticate(HEADER))
    await until(lambda: store.running == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        store.open.set()
        await until(lambda: not authenticator._look_ups)
    assert caplog.records == []
