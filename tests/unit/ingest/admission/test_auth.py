"""The authenticator's answers: who is believed, for how long, and what never leaks."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import ForwardClock
from gateway.core.errors import SettingsError, SinkUnavailable, Unauthorized
from gateway.domain.credentials import digest_of, new_token
from gateway.domain.principal import Grant, Principal, Role
from gateway.ingest.admission.auth import TokenAuthenticator
from tests.fakes.clock import ManualClock
from tests.unit.ingest.admission.scripted_store import ADMIN_KEY, DEVICE, DIGEST, HEADER, TOKEN, ScriptedStore


async def test_a_token_is_looked_up_once_and_then_known(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    assert authenticator.principal(HEADER) is None
    assert await authenticator.authenticate(HEADER) == DEVICE
    assert authenticator.principal(HEADER) == DEVICE
    assert await authenticator.authenticate(HEADER) == DEVICE
    assert store.asked == [DIGEST]


@pytest.mark.parametrize(
    "header", [f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer   {TOKEN}", f"Bearer {TOKEN} ", f"Bearer \t{TOKEN}\t "]
)
async def test_the_scheme_may_be_written_in_any_case(authenticator: TokenAuthenticator, header: str) -> None:
    assert await authenticator.authenticate(header) == DEVICE
    assert authenticator.principal(header) == DEVICE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer{TOKEN}",
        "Bearer ü",
        "Bearer \udcff",
        "Bearer " + "x" * 513,
    ],
)
async def test_malformed_headers_say_what_is_wanted(
    authenticator: TokenAuthenticator, store: ScriptedStore, header: str
) -> None:
    assert authenticator.principal(header) is None
    with pytest.raises(Unauthorized, match="must be 'Bearer <token>'"):
        await authenticator.authenticate(header)
    assert store.asked == []


async def test_a_missing_header_says_how_to_send_one(authenticator: TokenAuthenticator) -> None:
    assert authenticator.principal(None) is None
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        await authenticator.authenticate(None)


@given(header=st.one_of(st.text(), st.text().map("Bearer ".__add__), st.binary().map(lambda b: b.decode("latin-1"))))
def test_any_header_is_a_principal_or_unauthorized(header: str) -> None:
    async def run() -> None:
        authenticator = TokenAuthenticator(ScriptedStore(), admin_key=ADMIN_KEY, clock=ManualClock())
        assert authenticator.principal(header) is None
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(header)

    asyncio.run(run())


async def test_unknown_and_expired_tokens_get_the_same_answer(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    store.answers[DIGEST] = Grant(DEVICE, clock.now_us() + 1_000_000)
    await authenticator.authenticate(HEADER)
    clock.advance(1)
    store.answers.clear()
    with pytest.raises(Unauthorized) as expired:
        await authenticator.authenticate(HEADER)
    with pytest.raises(Unauthorized) as unknown:
        await authenticator.authenticate(f"Bearer {new_token(Role.ADMIN)}")
    with pytest.raises(Unauthorized) as nonsense:
        await authenticator.authenticate("Bearer nonsense")
    assert expired.value.message == unknown.value.message == nonsense.value.message


async def test_expiry_is_looked_at_on_every_call(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    store.answers[DIGEST] = Grant(DEVICE, clock.now_us() + 10_000_000)
    await authenticator.authenticate(HEADER)
    clock.advance(9.999_999)
    assert authenticator.principal(HEADER) == DEVICE
    clock.advance(0.000_001)
    assert authenticator.principal(HEADER) is None
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)


async def test_a_store_that_gives_an_expired_credential_is_not_believed(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    store.answers[DIGEST] = Grant(DEVICE, clock.now_us())
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)


async def test_the_bootstrap_key_needs_no_store(store: ScriptedStore, clock: ManualClock) -> None:
    authenticator = TokenAuthenticator(store, admin_key=ADMIN_KEY, clock=clock)
    assert authenticator.principal(f"Bearer {ADMIN_KEY}") == Principal(Role.ADMIN)
    authenticator.forget()
    assert await authenticator.authenticate(f"Bearer {ADMIN_KEY}") == Principal(Role.ADMIN)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(f"Bearer {ADMIN_KEY}x")
    assert store.asked == []


async def test_without_a_bootstrap_key_the_empty_token_opens_nothing(store: ScriptedStore, clock: ManualClock) -> None:
    authenticator = TokenAuthenticator(store, admin_key="", clock=clock)
    for header in ("Bearer ", "Bearer", "Bearer  "):
        assert authenticator.principal(header) is None
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(header)


@pytest.mark.parametrize("key", ["with space", "ümlaut", "x" * 513, "line\n", "a=b"])
def test_a_bootstrap_key_that_cannot_be_sent_is_a_wrong_setting(
    store: ScriptedStore, clock: ManualClock, key: str
) -> None:
    with pytest.raises(SettingsError, match=r"auth\.admin_key") as caught:
        TokenAuthenticator(store, admin_key=key, clock=clock)
    assert key not in str(caught.value)


async def test_known_tokens_stay_good_while_the_store_is_away(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    await authenticator.authenticate(HEADER)
    store.answers[DIGEST] = SinkUnavailable()
    clock.advance(86_400)
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_an_unknown_token_is_not_asked_for_again_within_a_second(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    store.answers.clear()
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(HEADER)
    assert len(store.asked) == 1
    clock.advance(1)
    store.answers[DIGEST] = Grant(DEVICE)
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_a_clock_that_is_set_back_does_not_prolong_a_refusal(
    authenticator: TokenAuthenticator, store: ScriptedStore, clock: ManualClock
) -> None:
    store.answers.clear()
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(HEADER)
    clock.advance(-3600)
    store.answers[DIGEST] = Grant(DEVICE)
    assert await authenticator.authenticate(HEADER) == DEVICE


async def test_tokens_never_show_in_errors_reprs_or_memory(
    authenticator: TokenAuthenticator, store: ScriptedStore
) -> None:
    store.answers.clear()
    with pytest.raises(Unauthorized) as unknown:
        await authenticator.authenticate(HEADER)
    with pytest.raises(Unauthorized) as malformed:
        await authenticator.authenticate(f"Token {TOKEN}")
    store.answers[DIGEST] = Grant(DEVICE)
    authenticator.forget()
    await authenticator.authenticate(HEADER)
    shown = "".join(map(repr, (unknown.value, unknown.value.details, malformed.value, vars(authenticator))))
    assert TOKEN not in shown
    assert ADMIN_KEY not in shown


async def test_a_clock_that_is_set_back_revives_no_token(store: ScriptedStore, clock: ManualClock) -> None:
    """Neither one that was known when it expired, nor one that is looked up only then."""
    elapsed_ns = 0
    forward = ForwardClock(clock, monotonic_ns=lambda: elapsed_ns)
    subject = TokenAuthenticator(store, admin_key="", clock=forward)
    other = new_token(Role.DEVICE)
    for digest in (DIGEST, digest_of(other)):
        store.answers[digest] = Grant(DEVICE, clock.now_us() + 10_000_000)
    assert await subject.authenticate(HEADER) == DEVICE
    clock.advance(10)
    assert subject.principal(HEADER) is None
    clock.advance(-86_400)
    assert subject.principal(HEADER) is None
    assert subject.still(HEADER, DEVICE) is False
    for header in (HEADER, f"Bearer {other}"):
        with pytest.raises(Unauthorized):
            await subject.authenticate(header)
