"""The watch over credentials in use: what is open for longer in, its end out once its credential holds no more.

Streams, WebSockets, exports and long reads outlive the moment in which their credential was looked at. All that are
open are looked at together: what is known of a credential comes with the polled changes, so that neither strangers nor
a slow database keep a revocation from being heard. While changes cannot be heard at all, everything goes on for
`auth.grace_secs`, and ends then: what cannot be verified is not valid for ever. What has been forgotten is asked for.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.core.errors import ClientError, GatewayError, SinkUnavailable, Unauthorized
from gateway.core.settings import AuthSettings
from gateway.core.tasks import background
from gateway.domain.contracts.ingest import Authenticator
from gateway.domain.principal import Principal
from gateway.telemetry import auth_events

LOOK_SECS = 0.2
"""How often credentials in use are looked at."""
UNAUTHORIZED, UNVERIFIED = "unauthorized", "unverified"
"""Why something ends."""
End = Callable[[str], None]
Holder = tuple[str | None, Principal]


class CredentialWatch:
    """What is open in one worker, by credential."""

    def __init__(self, authenticator: Authenticator, settings: AuthSettings) -> None:
        self._authenticator = authenticator
        self._grace_secs = settings.grace_secs
        self._open: defaultdict[Holder, dict[object, End]] = defaultdict(dict)
        self._asking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at all that is open, until the end of the block."""
        async with background(self._look_for_ever(), name="credentials.watch"):
            yield

    @contextmanager
    def hold(self, header: str | None, principal: Principal, end: End, *, brief: bool = False) -> Iterator[None]:
        """Keep something open that this header was shown for; `end` is told why once it must not go on.

        What is `brief` ends by itself, soon, and begins also when nothing can be heard. Raises Unauthorized if it must
        not begin any more, SinkUnavailable if that cannot be told.
        """
        _, why = self._verdict(header, principal)
        if why == UNAUTHORIZED or (why is not None and not brief):
            raise self.refusal(why)
        holder, key = (header, principal), object()
        self._open[holder][key] = end
        try:
            yield
        finally:
            others = self._open[holder]
            others.pop(key, None)
            if not others:
                del self._open[holder]

    @asynccontextmanager
    async def bounded(self, header: str | None, principal: Principal, *, brief: bool = False) -> AsyncIterator[None]:
        """Do something for as long as `hold` would keep it open. Raises what it raises, in the middle of it, too."""
        why = ""

        def end(reason: str) -> None:
            nonlocal why
            if not why and not (brief and reason == UNVERIFIED):
                why = reason
                bound.reschedule(asyncio.get_running_loop().time())

        try:
            async with asyncio.timeout(None) as bound:
                with self.hold(header, principal, end, brief=brief):
                    yield
        except TimeoutError:
            if not why:
                raise
            raise self.refusal(why) from None

    def is_valid(self, header: str | None, principal: Principal) -> bool:
        """Whether nothing is known against the header's meaning this principal still."""
        return self._authenticator.still(header, principal) is not False

    def check(self, header: str | None, principal: Principal) -> None:
        """Raise Unauthorized unless `is_valid`."""
        if not self.is_valid(header, principal):
            raise self.refusal(UNAUTHORIZED)

    def refusal(self, why: str) -> GatewayError:
        """Return what is said to whom something was ended."""
        if why == UNAUTHORIZED:
            return Unauthorized("this token is not known or has expired")
        return SinkUnavailable(
            f"whether this credential is still valid could not be heard from the database for {self._grace_secs:g} s"
            " (auth.grace_secs); come back when it answers",
            limit="auth.grace_secs",
            value=self._grace_secs,
        )

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECS)
            try:
                self._look()
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not let revoked tokens live on
                auth_events.failed(exc)

    def _look(self) -> None:
        forgotten: list[Holder] = []
        for holder in list(self._open):
            still, why = self._verdict(*holder)
            if why is not None:
                self._end(holder, why)
            elif still is None:
                forgotten.append(holder)
        if forgotten and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(forgotten), name="credentials.ask")

    def _verdict(self, header: str | None, principal: Principal) -> tuple[bool | None, str | None]:
        """Return what is known of a credential, and why something may not go on, None if it may."""
        still = self._authenticator.still(header, principal)
        if still is False:
            return still, UNAUTHORIZED
        return still, UNVERIFIED if self._authenticator.unheard_secs(header) > self._grace_secs else None

    def _end(self, holder: Holder, why: str) -> None:
        ends = list(self._open[holder].values())
        auth_events.ended(why, len(ends))
        for end in ends:
            end(why)

    async def _ask(self, forgotten: list[Holder]) -> None:
        """Ask for what is not known any more; those that are asked for together are one question."""
        await asyncio.gather(*[self._ask_for(holder) for holder in forgotten])

    async def _ask_for(self, holder: Holder) -> None:
        header, _ = holder
        try:
            await self._authenticator.authenticate(header)
        except ClientError:
            if holder in self._open:
                self._end(holder, UNAUTHORIZED)
        except GatewayError:
            pass  # it cannot be told now: that has an end, too
