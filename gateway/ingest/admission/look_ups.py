"""Look-ups of tokens nobody here knows: digests in, what each stands for out; many in one question, fair by address.

One question is under way at a time, and takes of all that wait: first what was known before, then of each address in
turn. So a flood of made-up tokens makes a new one wait for a question or two, and never one that is known. Nobody waits
longer than `WAIT_SECS`, whatever the store does.
"""

import asyncio
from collections.abc import Callable, Mapping
from copy import copy

from gateway.core.errors import GatewayError, Overloaded, SinkUnavailable
from gateway.core.tasks import end
from gateway.domain.contracts.ingest import Credentials
from gateway.domain.principal import Grant
from gateway.telemetry import events

BATCH = 512
"""Tokens in one question."""
AT_ONCE = 32
"""Answers given in one turn of the loop: who is told sends an answer of its own in the next."""
WAIT_SECS = 2.0
"""Longest wait of anybody: after it the token counts as one that cannot be told now."""
ATTEMPTS = 3
"""Questions about one token, if changes overtake their answers."""
LIMIT = "auth.max_look_ups"
KNOWN_BEFORE = None
"""In place of an address: of tokens that were known, and are asked for anew."""

Settle = Callable[[bytes, Grant | None], None]


class _LookUp:
    """One token that is asked for."""

    __slots__ = ("address", "answer", "attempts", "overtaken")

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.answer: asyncio.Future[Grant | None] = asyncio.get_running_loop().create_future()
        self.attempts = 0
        self.overtaken = False
        """Whether it may have changed since it was asked for."""


class LookUps:
    """The look-ups of one worker, `most` at once; `settle` hears each answer that no change has overtaken."""

    def __init__(self, credentials: Credentials, settle: Settle, *, most: int) -> None:
        self._credentials = credentials
        self._settle = settle
        self._most = most
        self._most_of_address = max(1, most // 2)
        self._all: dict[bytes, _LookUp] = {}
        self._waiting: dict[str | None, dict[bytes, None]] = {}
        """Address → those of `_all` that are in no question yet, oldest first."""
        self._asked: Mapping[bytes, _LookUp] = {}
        """Those in the question that is under way."""
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._all)

    async def find(self, digest: bytes, address: str | None) -> Grant | None:
        """Return what the token stands for, None if nobody holds it.

        Raises SinkUnavailable, also when nothing was heard within WAIT_SECS, SinkFault, Overloaded. Errors are each
        caller's own, since a traceback grows with every raise.
        """
        found = self._all.get(digest) or self._begin(digest, address)
        await asyncio.wait([found.answer], timeout=WAIT_SECS)
        if not found.answer.done():
            raise SinkUnavailable(
                f"the database has not said within {WAIT_SECS:g} s whose token this is; come back with it",
                limit="look-up seconds",
                value=WAIT_SECS,
            )
        if found.answer.cancelled():
            raise SinkUnavailable("the look-up was given up; try again")
        exc = found.answer.exception()
        if isinstance(exc, GatewayError):
            raise copy(exc) from exc.__cause__
        return found.answer.result()

    def tell(self, changes: Mapping[bytes, Grant | None] | None) -> None:
        """Take what has changed for the answer, or ask once more if all may have (None)."""
        if changes is None:
            for found in self._asked.values():
                found.overtaken = True
            return
        for digest in self._all.keys() & changes.keys():
            self._conclude(digest, changes[digest])

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            await end(self._task)
        for digest in list(self._all):
            self._forget(digest).answer.cancel()

    def _begin(self, digest: bytes, address: str | None) -> _LookUp:
        waiting = self._waiting.get(address, {})
        is_full = len(self._all) >= self._most
        if address is not KNOWN_BEFORE and (is_full or len(waiting) >= self._most_of_address):
            events.overloaded(LIMIT)
            count = f"{self._most} new tokens" if is_full else f"{self._most_of_address} new tokens of one address"
            raise Overloaded(
                f"{count} are being looked up ({LIMIT}); come back with this one later", limit=LIMIT, value=self._most
            )
        found = self._all[digest] = _LookUp(address)
        self._wait(digest, found)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="auth.look_ups")
        return found

    def _wait(self, digest: bytes, found: _LookUp) -> None:
        self._waiting.setdefault(found.address, {})[digest] = None

    async def _run(self) -> None:
        while self._waiting:
            self._asked = {digest: self._all[digest] for digest in self._next()}
            try:
                await self._ask(self._asked)
            finally:
                self._asked = {}

    async def _ask(self, asked: Mapping[bytes, _LookUp]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECS):
                grants = await self._credentials.find(asked)
        except TimeoutError:
            self._fail(asked, SinkUnavailable("the database does not answer; come back with this token"))
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._fail(asked, exc)
        else:
            await self._answer(asked, grants)

    async def _answer(self, asked: Mapping[bytes, _LookUp], grants: Mapping[bytes, Grant]) -> None:
        """Tell those who wait, a few in each turn of the loop."""
        for number, (digest, found) in enumerate(asked.items()):
            if number and not number % AT_ONCE:
                await asyncio.sleep(0)
            if self._all.get(digest) is found:  # else a change was the answer
                self._answered(digest, found, grants.get(digest))

    def _next(self) -> list[bytes]:
        """Take from those who wait: what was known before, then one of each address in turn."""
        taken: list[bytes] = []
        known = self._waiting.get(KNOWN_BEFORE, {})
        while known and len(taken) < BATCH:
            taken.append(self._take(KNOWN_BEFORE))
        while self._waiting and len(taken) < BATCH:
            for address in list(self._waiting)[: BATCH - len(taken)]:
                waiting = self._waiting[address]
                taken.append(self._take(address))
                if waiting:  # to the end of the line
                    self._waiting[address] = self._waiting.pop(address)
        return taken

    def _take(self, address: str | None) -> bytes:
        waiting = self._waiting[address]
        digest = next(iter(waiting))
        del waiting[digest]
        if not waiting:
            del self._waiting[address]
        return digest

    def _answered(self, digest: bytes, found: _LookUp, grant: Grant | None) -> None:
        """Conclude one, or ask again if the answer may be older than a change."""
        found.attempts += 1
        if not found.overtaken:
            self._conclude(digest, grant)
        elif found.attempts >= ATTEMPTS:
            self._forget(digest).answer.set_result(grant)  # of an age that nobody knows, so that it is not kept
        else:
            found.overtaken = False
            self._wait(digest, found)

    def _conclude(self, digest: bytes, grant: Grant | None) -> None:
        found = self._forget(digest)
        self._settle(digest, grant)
        found.answer.set_result(grant)

    def _fail(self, asked: Mapping[bytes, _LookUp], exc: BaseException) -> None:
        for digest, found in asked.items():
            if self._all.get(digest) is found:
                self._forget(digest).answer.set_exception(exc)
                found.answer.exception()  # looked at here, in case that nobody waits any more

    def _forget(self, digest: bytes) -> _LookUp:
        found = self._all.pop(digest)
        waiting = self._waiting.get(found.address)
        if waiting is not None:
            waiting.pop(digest, None)
            if not waiting:
                del self._waiting[found.address]
        return found
