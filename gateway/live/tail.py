"""Tail of the change log, into the hub: one loop per worker, only while somebody reads. Leaves no gap unsaid.

It renews the watch every second, and looks then and with each entry whether anything is missing; if so, every reader is
told to begin anew. While Redis is away nothing is read, and when it is back the log goes on where it was left.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

from gateway.core.errors import GatewayError, StateUnavailable
from gateway.core.tasks import end
from gateway.domain.changes import ChangeLog, Logged, LogPosition, follows, start_of
from gateway.domain.contracts.newest import ShapeBook
from gateway.live.filters import LoggedBatch
from gateway.live.hub import Hub
from gateway.telemetry import live_events

WATCH_SECS = 1.0
AGAIN_SECS = 0.3
"""Pause after something failed."""
START_SECS = 3.0
"""Longest wait of a new reader for the log."""
BRIEF_SECS = 0.002
"""Fanning out an entry that takes no longer needs no rest."""
REST_SECS = 0.25
"""Longest rest; fanning out that took longer is followed by no longer one."""

Sleep = Callable[[float], Awaitable[None]]


class Tail:
    """Owns the reading of the log. `async with` starts and stops it."""

    def __init__(
        self,
        log: ChangeLog,
        shapes: ShapeBook,
        hub: Hub,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`monotonic` and `sleep` are what it measures its work with, and how it rests from it."""
        self._log = log
        self._shapes = shapes
        self._hub = hub
        self._monotonic = monotonic
        self._sleep = sleep
        self._readers = 0
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._troubled = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="live.tail")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            await end(self._task)

    def enter(self) -> None:
        """Read for one reader more."""
        self._readers += 1
        self._wanted.set()

    def leave(self) -> None:
        """Read for one reader less."""
        self._readers -= 1
        if not self._readers:
            self._wanted.clear()

    async def settled(self) -> None:
        """Return when the hub has a position. Raises StateUnavailable if that takes too long."""
        if self._hub.position is not None:
            return
        try:
            async with asyncio.timeout(START_SECS):
                await self._settled.wait()
        except TimeoutError:
            raise StateUnavailable("the log of changes (in Redis) cannot be read now", retry_after=2.0) from None

    async def _work(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except GatewayError as exc:
                self._note(exc)
                await asyncio.sleep(AGAIN_SECS)
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not end all streams for good
                live_events.failed(exc)
                await asyncio.sleep(AGAIN_SECS)

    async def _follow(self) -> None:
        """Read while there are readers; on return the hub has no position, since nobody keeps it up to date."""
        looked, end = 0.0, None
        while self._readers:
            if end is None or time.monotonic() - looked >= WATCH_SECS:
                looked = time.monotonic()
                end = await self._log.watch()
                self._settle(end)
            at = self._hub.position
            if at is None:
                continue
            entries = await self._log.after(at)
            for entry in entries:
                await self._pass_on(entry)
            if not entries and end.offset > at.offset:
                self._lose(end)  # it was logged, and Redis has dropped it
        self._hub.position = None
        self._settled.clear()

    def _settle(self, end: LogPosition) -> None:
        """Compare how far we are with how far the log is: another log, or another turn of it, is a gap."""
        at = self._hub.position
        if at is None:
            self._hub.position = end
        elif not end.continues(at):
            self._lose(end._replace(offset=0))  # and show all that is in it
        elif at.offset == end.offset and at.epoch != end.epoch:
            self._lose(end)
        self._settled.set()
        if self._troubled:
            self._troubled = False
            live_events.back()

    async def _pass_on(self, entry: Logged) -> None:
        at = self._hub.position
        if at is None or not follows(entry, at) or at.epoch != entry.position.epoch:
            self._lose(start_of(entry))
        try:
            batch = LoggedBatch(entry, await self._shapes.shapes(entry.shapes))
            began = self._monotonic()  # not before: what was waited for is no work to rest from
            live_events.published(self._hub.publish(batch))
        except ValueError as exc:
            live_events.failed(exc)
            self._lose(entry.position)
        else:
            await self._rest(began)

    async def _rest(self, began: float) -> None:
        """Let those who were woken send, and leave as much time to others.

        So fanning out takes at most half of a worker, and under load more changes go into one write.
        """
        await self._sleep(0)
        took = self._monotonic() - began
        if took > BRIEF_SECS:
            await self._sleep(min(took, REST_SECS))

    def _lose(self, position: LogPosition) -> None:
        live_events.lost()
        self._hub.lose("lost", position)

    def _note(self, exc: GatewayError) -> None:
        if not self._troubled:
            live_events.away(f"{exc.message}: {exc.__cause__!r}")
        self._troubled = True
