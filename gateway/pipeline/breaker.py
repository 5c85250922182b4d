"""Whether the database is worth trying: open after a failure, closed again when a probe succeeds. Owns the probing.

While it is open nobody waits for the database: readings go to the spool at once, and one probe at a time, further and
further apart, finds out when it is back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Self

from gateway.ending import end
from gateway.errors import GatewayError
from gateway.telemetry import events

FIRST_RETRY_SECS = 0.1
LONGEST_RETRY_SECS = 3.0
PROBE_SECS = 10.0
"""Longest wait for one probe."""

Probe = Callable[[], Awaitable[None]]


class Breaker:
    """Stands between the pipeline and the database. `async with` probes once, then watches."""

    def __init__(self, probe: Probe, *, rng: Random) -> None:
        self._probe = probe
        self.on_back: list[Callable[[], None]] = []
        """Called when the database is back."""
        self._rng = rng
        self._tripped = asyncio.Event()
        self._since = 0.0
        self._task: asyncio.Task[None] | None = None
        self.error = ""
        """Why it is open; empty when it is closed."""

    @property
    def is_open(self) -> bool:
        """Whether the database is taken to be away."""
        return self._tripped.is_set()

    async def __aenter__(self) -> Self:
        """Return whether or not the database answers."""
        error = await self._ask()
        if error:
            self.trip(error)
        self._task = asyncio.create_task(self._mend(), name="breaker.mend")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            await end(self._task)

    def trip(self, error: str) -> None:
        """Take the database to be away from now on, until a probe succeeds."""
        if not self.is_open:
            self._since = asyncio.get_running_loop().time()
            events.database_lost(error)
            self._tripped.set()
        self.error = error

    async def answers(self) -> bool:
        """Ask the database now, unless it is known to be away; return whether it takes writes."""
        if not self.is_open and (error := await self._ask()):
            self.trip(error)
        return not self.is_open

    async def _mend(self) -> None:
        while True:
            await self._tripped.wait()
            attempt = 0
            while error := await self._ask():
                self.error = error
                longest = min(LONGEST_RETRY_SECS, FIRST_RETRY_SECS * 2 ** min(attempt, 10))
                await asyncio.sleep(self._rng.uniform(0, longest))
                attempt += 1
            self._tripped.clear()
            self.error = ""
            events.database_back(asyncio.get_running_loop().time() - self._since)
            for call in self.on_back:
                call()

    async def _ask(self) -> str:
        """Return why the probe fails, or nothing."""
        try:
            async with asyncio.timeout(PROBE_SECS):
                await self._probe()
        except GatewayError as exc:
            return str(exc.__cause__ or exc.message) or exc.message
        except TimeoutError:
            return f"no answer within {PROBE_SECS:.0f} s"
        except Exception as exc:  # noqa: BLE001 - a probe that is broken must not end the probing
            return repr(exc)
        return ""
