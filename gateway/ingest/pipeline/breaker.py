"""The circuit breaker of the database: open after a failure, closed again when a probe succeeds. Owns the probing.

While it is open nobody waits for the database: readings go to the spool at once, and one probe at a time, further and
further apart, finds out when it is back. What is believed of it when is said in `trust`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Self

from gateway.core.backoff import equal_jitter
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, Unavailable
from gateway.core.tasks import end
from gateway.ingest.pipeline.breaker_state import BreakerReason, Kind, Trust
from gateway.telemetry import events

FIRST_RETRY_SECS = 0.1
LONGEST_RETRY_SECS = 3.0
PROBE_SECS = 10.0
"""Longest wait for one probe."""
HELD_SECS = 10.0
"""After so long without a failure a probe is believed, though it was wrong before: nobody had anything to write."""

Probe = Callable[[], Awaitable[None]]
"""Writes what the pipeline writes, and leaves nothing. Raises why it cannot."""


class Breaker:
    """Stands between the pipeline and the database. `async with` probes once, then watches."""

    def __init__(self, probe: Probe, *, rng: Random, clock: Clock) -> None:
        self._probe = probe
        self.on_back: list[Callable[[], None]] = []
        """Called when the database is back."""
        self._rng = rng
        self._clock = clock
        self._trust = Trust()
        self._tripped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._holding: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether the database is taken to be away."""
        return self._trust.is_open

    @property
    def trouble(self) -> BreakerReason | None:
        """What is wrong with the database, and since when; None while it is trusted."""
        return self._trust.trouble

    @property
    def term(self) -> int:
        """To be remembered when a write begins, and told with how it ended."""
        return self._trust.term

    async def __aenter__(self) -> Self:
        """Return whether or not the database answers."""
        if await self._ask():
            self._let_through()
        self._task = asyncio.create_task(self._mend(), name="breaker.mend")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            await end(self._task)
        if self._holding:
            self._holding.cancel()

    def failed(self, term: int, exc: GatewayError) -> None:
        """Take the database to be away from now on, until a probe succeeds: a write that began in this term failed."""
        self._lost(self._trust.lose(term, reason(exc), kind_of(exc), now_us=self._clock.now_us()))

    def stored(self, term: int) -> None:
        """Note that a write that began in this term has succeeded."""
        self._back(self._trust.prove(term))

    async def answers(self) -> bool:
        """Ask the database now, unless it is known to be away; return whether it takes writes."""
        return not self.is_open and await self._ask() and not self.is_open

    async def _mend(self) -> None:
        while True:
            await self._tripped.wait()
            await asyncio.sleep(self._pause())
            if await self._ask():
                self._let_through()
                self._tripped.clear()
                for call in self.on_back:
                    call()

    def _pause(self) -> float:
        """Return the seconds until the next probe: none after the first failure, then longer and longer."""
        if not self._trust.attempts:
            return 0.0
        retry = self._trust.attempts - 1
        return equal_jitter(retry, base=FIRST_RETRY_SECS, cap=LONGEST_RETRY_SECS, rng=self._rng)

    async def _ask(self) -> bool:
        """Probe, note what came of it, and return whether the database may be written to."""
        try:
            async with asyncio.timeout(PROBE_SECS):
                await self._probe()
        except GatewayError as exc:
            self._missed(reason(exc), kind_of(exc))
        except TimeoutError:
            self._missed(f"no answer within {PROBE_SECS:.0f} s", "transient")
        except Exception as exc:  # noqa: BLE001 - a probe that is broken must not end the probing
            self._missed(repr(exc), "fault")
        else:
            return True
        return False

    def _missed(self, error: str, kind: Kind) -> None:
        self._lost(self._trust.miss(error, kind, now_us=self._clock.now_us()))

    def _let_through(self) -> None:
        """Close the way after a probe, and look again when it has been closed for long."""
        self._back(self._trust.reach())
        if self._holding:
            self._holding.cancel()
        term = self.term
        self._holding = asyncio.get_running_loop().call_later(HELD_SECS, lambda: self._back(self._trust.hold(term)))

    def _lost(self, is_news: bool) -> None:  # noqa: FBT001 - what the state machine says
        if is_news and self.trouble:
            events.database_lost(self.trouble.error, kind=self.trouble.kind)
        if self.is_open:
            self._tripped.set()

    def _back(self, over: BreakerReason | None) -> None:
        if over:
            events.database_back((self._clock.now_us() - over.since_us) / 1e6)


def kind_of(exc: GatewayError) -> Kind:
    """Say whether the same write may succeed later."""
    return "transient" if isinstance(exc, Unavailable) else "fault"


def reason(exc: GatewayError) -> str:
    """Say what happened in the words of whoever noticed it first, and what to do about it if that is known."""
    words = " ".join(str(exc.__cause__ or "").split()) or exc.message
    return f"{words}; {exc.advice}" if exc.advice else words
