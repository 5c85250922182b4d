"""The watch over credentials in use: revoked, re-scoped, forgotten, not to be asked for, not to be heard of."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.core.errors import SinkUnavailable, Unauthorized
from gateway.core.settings import AuthSettings
from gateway.domain.principal import Principal, Role
from gateway.web.limits import credential_watch
from gateway.web.limits.credential_watch import CredentialWatch

READER = Principal(Role.READER, key=1)
SOON = 10.0


class Tokens:
    """An authenticator whose tokens come and go."""

    def __init__(self) -> None:
        self.known: dict[str | None, Principal | None] = {"Bearer r": READER, "Bearer s": READER}
        """None of one that nobody holds; what is not here is forgotten."""
        self.failure: Exception | None = None
        self.unheard = 0.0
        self.asked = 0

    def principal(self, header: str | None) -> Principal | None:
        return self.known.get(header)

    def still(self, header: str | None, principal: Principal) -> bool | None:
        return self.known[header] == principal if header in self.known else None

    def unheard_secs(self, header: str | None) -> float:
        return 0.0 if header == "Bearer bootstrap" else self.unheard

    async def authenticate(self, header: str | None, _: str = "", *, hold_back: object = None) -> Principal:  # noqa: ARG002
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        found = self.known.setdefault(header, None)
        if found is None:
            raise Unauthorized
        return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.002)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
async def watch(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CredentialWatch]:
    monkeypatch.setattr(credential_watch, "LOOK_SECS", 0.005)
    watch = CredentialWatch(tokens, AuthSettings(grace_secs=60))
    async with watch.looking():
        yield watch


@pytest.mark.parametrize("now", [None, Principal(Role.READER, key=2), Principal(Role.DEVICE, "d1", key=1)])
async def test_what_a_credential_opened_ends_with_it_and_nothing_else(
    watch: CredentialWatch, tokens: Tokens, now: Principal | None
) -> None:
    ended: list[str] = []
    kept: list[str] = []
    with (
        watch.hold("Bearer r", READER, ended.append),
        watch.hold("Bearer r", READER, ended.append),
        watch.hold("Bearer s", READER, kept.append),
    ):
        tokens.known["Bearer r"] = now
        await until(lambda: len(ended) >= 2)
        assert set(ended) == {"unauthorized"}
        assert kept == []
        with pytest.raises(Unauthorized), watch.hold("Bearer r", READER, ended.append):
            pass
    assert watch._open == {}
    assert tokens.asked == 0, "it is known: nobody has to be asked"


async def test_what_was_forgotten_is_asked_for_and_goes_on_while_it_cannot_be_told(
    watch: CredentialWatch, tokens: Tokens
) -> None:
    ended: list[str] = []
    with watch.hold("Bearer r", READER, ended.append):
        del tokens.known["Bearer r"]
        tokens.failure = SinkUnavailable()
        await until(lambda: tokens.asked >= 3)
        assert ended == []
        tokens.failure = None
        await until(lambda: bool(ended))


async def test_a_question_that_is_never_answered_holds_nothing_else_up(
    watch: CredentialWatch, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: str | None, __: str = "") -> Principal:
        await asyncio.Event().wait()
        return READER

    ended: list[str] = []
    monkeypatch.setattr(tokens, "authenticate", never)
    with watch.hold("Bearer r", READER, lambda _: None), watch.hold("Bearer s", READER, ended.append):
        del tokens.known["Bearer r"]
        await until(lambda: watch._asking is not None)
        tokens.known["Bearer s"] = None
        await until(lambda: bool(ended))


async def test_while_no_change_can_be_heard_all_goes_on_for_the_grace_and_then_ends(
    watch: CredentialWatch, tokens: Tokens
) -> None:
    ended: list[str] = []
    kept: list[str] = []
    tokens.known["Bearer bootstrap"] = Principal(Role.ADMIN)
    with (
        watch.hold("Bearer r", READER, ended.append),
        watch.hold("Bearer bootstrap", Principal(Role.ADMIN), kept.append),
    ):
        tokens.unheard = 59.0
        await asyncio.sleep(0.03)
        assert ended == []
        with watch.hold("Bearer s", READER, kept.append):
            pass
        tokens.unheard = 61.0
        await until(lambda: bool(ended))
        assert ended[0] == "unverified"
        with pytest.raises(SinkUnavailable, match=r"auth\.grace_secs"), watch.hold("Bearer s", READER, kept.append):
            pass
        async with watch.bounded("Bearer s", READER, brief=True):
            await asyncio.sleep(0.03)  # what is brief goes on as known tokens do
    assert kept == []


@pytest.mark.parametrize(("change", "error"), [("revoked", Unauthorized), ("unheard", SinkUnavailable)])
async def test_work_that_is_bounded_ends_in_its_midst(
    watch: CredentialWatch, tokens: Tokens, change: str, error: type[Exception]
) -> None:
    began = asyncio.Event()

    async def work() -> None:
        async with watch.bounded("Bearer r", READER):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await began.wait()
    if change == "revoked":
        tokens.known["Bearer r"] = None
    else:
        tokens.unheard = 61.0
    with pytest.raises(error):
        await asyncio.wait_for(task, SOON)


async def test_a_time_out_of_the_work_s_own_stays_one(watch: CredentialWatch) -> None:
    with pytest.raises(TimeoutError):
        async with watch.bounded("Bearer r", READER):
            raise TimeoutError
