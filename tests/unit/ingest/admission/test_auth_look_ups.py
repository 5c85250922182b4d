"""The authenticator's look-ups: shared, bounded, and never overtaken by a revocation."""

import asyncio
import logging
from collections.abc import Collection

import pytest

from gateway.core.errors import GatewayError, Overloaded, SinkFault, SinkUnavailable, Unauthorized
from gateway.domain.credentials import digest_of, new_token
from gateway.domain.principal import Grant, Principal, Role
from gateway.ingest.admission import auth, look_ups
from gateway.ingest.admission.auth import TokenAuthenticator
from tests.fakes.clock import ManualClock
from tests.unit.ingest.admission.scripted_store import DEVICE, DIGEST, HEADER, TOKEN, ScriptedStore, until


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


async def test_all_that_wait_are_one_question(authenticator: TokenAuthenticator, store: ScriptedStore) -> None:
    tokens = [new_token(Role.DEVICE) for _ in range(50)]
    store.answers.update({digest_of(token): Grant(DEVICE) for token in tokens})
    store.open.clear()
    calls = [asyncio.create_task(authenticator.authenticate(f"Bearer {token}")) for token in tokens]
    await until(lambda: store.running == 1)
    calls += [asyncio.create_task(authenticator.authenticate(f"Bearer {new_token(Role.DEVICE)}")) for _ in range(50)]
    await asyncio.sleep(0)
    store.open.set()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert found[:50] == [DEVICE] * 50
    assert all(isinstance(one, Unauthorized) for one in found[50:])
    assert store.questions == [50, 50]
    assert store.most_running == 1


async def test_too_many_waiting_look_ups_are_overload_and_pass(store: ScriptedStore, clock: ManualClock) -> None:
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock, max_look_ups=3)
    store.open.clear()
    others = [f"Bearer {new_token(Role.DEVICE)}" for _ in range(3)]
    waiting = [asyncio.create_task(authenticator.authenticate(other, other)) for other in others]
    await until(lambda: store.running == 1)
    with pytest.raises(Overloaded) as caught:
        await authenticator.authenticate(HEADER)
    assert caught.value.details == {"limit": "auth.max_look_ups", "value": 3}
    store.open.set()
    assert all(isinstance(r, Unauthorized) for r in await asyncio.gather(*waiting, return_exceptions=True))
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_one_address_has_a_share_of_those_that_wait_and_the_next_question_is_every_address_s(
    store: ScriptedStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock, max_look_ups=40)
    monkeypatch.setattr(look_ups, "BATCH", 4)
    store.open.clear()

    def present(token: str, address: str) -> "asyncio.Task[Principal]":
        return asyncio.create_task(authenticator.authenticate(f"Bearer {token}", address))

    flood = [present(new_token(Role.READER), "192.0.2.1") for _ in range(20)]
    await until(lambda: store.running == 1)
    flood += [present(new_token(Role.READER), "192.0.2.1") for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="of one address"):
        await authenticator.authenticate(f"Bearer {new_token(Role.READER)}", "192.0.2.1")
    honest = present(TOKEN, "192.0.2.2")
    await asyncio.sleep(0)
    store.open.set()
    assert await honest == DEVICE
    assert DIGEST in store.asked[4:8], "in the first question after the one that was under way"
    await asyncio.gather(*flood, return_exceptions=True)


async def test_what_was_known_is_asked_for_before_all_strangers(
    store: ScriptedStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock, max_look_ups=20)
    monkeypatch.setattr(look_ups, "BATCH", 2)
    assert await authenticator.authenticate(HEADER) == DEVICE
    authenticator.forget()
    store.open.clear()
    strangers = [f"Bearer {new_token(Role.READER)}" for _ in range(20)]
    flood = [asyncio.create_task(authenticator.authenticate(one, one[-1:])) for one in strangers]
    await until(lambda: store.running == 1)
    known = asyncio.create_task(authenticator.authenticate(HEADER))  # also where no stranger has room any more
    await asyncio.sleep(0)
    store.open.set()
    assert await known == DEVICE
    assert DIGEST in store.asked[3:5], "in the first question after the one that was under way"
    await asyncio.gather(*flood, return_exceptions=True)


async def test_a_store_that_says_nothing_is_waited_for_together_and_not_for_long(
    authenticator: TokenAuthenticator, store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "WAIT_SECS", 0.05)
    monkeypatch.setattr(look_ups, "BATCH", 10)
    store.open.clear()
    calls = [authenticator.authenticate(f"Bearer {new_token(Role.DEVICE)}") for _ in range(150)]
    found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    assert all(isinstance(one, SinkUnavailable) and one.retry_after for one in found)
    assert len(store.questions) <= 3, "one wait for all, and not one after the other"
    store.open.set()
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
    store.answers[DIGEST] = Grant(DEVICE)
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_a_token_that_was_just_issued_is_good_once_told(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.answers.clear()
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)
    authenticator.tell({DIGEST: Grant(DEVICE)})
    assert authenticator.principal(HEADER) == DEVICE


async def test_a_revoked_token_is_refused_once_told_and_nobody_asks(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    await authenticator.authenticate(HEADER)
    store.answers[DIGEST] = SinkUnavailable()
    authenticator.tell({DIGEST: None})
    assert authenticator.still(HEADER, DEVICE) is False
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)
    assert store.asked == [DIGEST]


async def test_a_token_that_means_somebody_else_is_not_what_it_was(authenticator: TokenAuthenticator) -> None:
    await authenticator.authenticate(HEADER)
    assert authenticator.still(HEADER, DEVICE) is True
    authenticator.tell({DIGEST: Grant(Principal(Role.DEVICE, "d2"))})
    assert authenticator.still(HEADER, DEVICE) is False


async def test_when_all_may_have_changed_it_is_asked_for_again(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    await authenticator.authenticate(HEADER)
    authenticator.forget()
    assert authenticator.still(HEADER, DEVICE) is None
    store.answers.clear()
    assert authenticator.principal(HEADER) is None
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)


async def test_forgetting_one_token_keeps_the_others(authenticator: TokenAuthenticator, store: ScriptedStore) -> None:
    await authenticator.authenticate(HEADER)
    authenticator.tell({digest_of("another"): None})
    assert authenticator.principal(HEADER) == DEVICE


@pytest.mark.parametrize("changes", [{DIGEST: None}, None])
async def test_an_answer_that_a_revocation_overtook_is_neither_given_nor_cached(
    authenticator: TokenAuthenticator, store: ScriptedStore, changes: dict[bytes, Grant | None] | None
) -> None:
    store.open.clear()
    call = asyncio.create_task(authenticator.authenticate(HEADER))
    await until(lambda: store.running == 1)  # the store has read "valid" and is slow to say so
    store.answers.clear()
    if changes is None:
        authenticator.forget()
    else:
        authenticator.tell(changes)
    store.open.set()
    with pytest.raises(Unauthorized):
        await call
    assert authenticator.principal(HEADER) is None
    assert store.asked == [DIGEST] * (1 if changes else 2), "asked again only where what changed was not told"


async def test_changes_without_end_do_not_hold_a_caller_up_for_ever(store: ScriptedStore, clock: ManualClock) -> None:
    class Restless(ScriptedStore):
        async def find(self, digests: Collection[bytes]) -> dict[bytes, Grant]:
            subject.forget()
            return await super().find(digests)

    restless = Restless()
    restless.answers = store.answers
    subject = TokenAuthenticator(restless, admin_key="", clock=clock)
    assert await subject.authenticate(HEADER) == DEVICE
    assert subject.principal(HEADER) is None, "an answer of unknown age must not be cached"


async def test_how_long_no_change_could_be_heard_of(store: ScriptedStore, clock: ManualClock) -> None:
    now = 100.0
    subject = TokenAuthenticator(store, admin_key="bootstrap", clock=clock, monotonic=lambda: now)
    now = 107.0
    assert subject.unheard_secs(HEADER) == 7
    assert subject.unheard_secs("Bearer bootstrap") == 0, "it stands in the settings"
    subject.heard()
    assert subject.unheard_secs(HEADER) == 0


async def test_the_caches_are_bounded(
    store: ScriptedStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_REFUSED", 5)
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock, cache_size=5)
    tokens = [new_token(Role.DEVICE) for _ in range(20)]
    store.answers.update({digest_of(token): Grant(DEVICE) for token in tokens})
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
