"""The stall watch: when readings came, when any became durable → whether the pipeline stands still. Never acts on it.

Whatever the cause (a database that hangs, a spool that fails, a mistake of ours): readings come and none is answered.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.core.tasks import background
from gateway.telemetry import ledger_events

STALL_SECS = 30.0
"""As long without anything durable while readings come in."""
QUIET_SECS = 60.0
"""Input this far apart is not one stretch of it: a worker that gets no traffic any more recovers by that."""
LOOK_SECS = 1.0


class Stall:
    """Told of input and of progress. `monotonic` is in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since: float | None = None
        self._last = 0.0

    def entered(self) -> None:
        """Note that a batch came in which is to be made durable."""
        now = self._monotonic()
        if self._since is None or now - self._last > QUIET_SECS:
            self._since = now
        self._last = now

    def durable(self) -> None:
        """Note that a batch became durable, in the database or in the spool."""
        self._since = None

    @property
    def secs(self) -> float:
        """How long the pipeline has stood still; 0 while it has not for STALL_SECS."""
        if self._since is None:
            return 0.0
        now = self._monotonic()
        still = now - self._since
        return still if still >= STALL_SECS and now - self._last <= QUIET_SECS else 0.0


@asynccontextmanager
async def watching(stall: Stall, *, every_secs: float = LOOK_SECS) -> AsyncIterator[None]:
    """Say in the log when the pipeline stands still and when it goes on, until the end of the block."""
    async with background(_watch(stall, every_secs), name="stall.watch"):
        yield


async def _watch(stall: Stall, every_secs: float) -> None:
    said = False
    while True:
        await asyncio.sleep(every_secs)
        secs = stall.secs
        if secs and not said:
            ledger_events.stalled(secs)
        if said and not secs:
            ledger_events.unstalled()
        said = secs > 0
