"""The rebuilder: looks every second, and fills the state from the database when something may be missing.

Missing may be: all (flushed, another server), what a server that took over or restarted had not got yet, what
publishers had to skip, and what a gateway committed just before it died. One gateway at a time rebuilds. Live traffic
goes on meanwhile: each device is claimed, read and filled (see repair.py), so the result is right in any order. What
is in Redis and not in the database does not outlive a rebuild.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Self

from gateway.core.errors import GatewayError, StateUnavailable
from gateway.core.tasks import end
from gateway.domain.contracts.newest import NewestStored
from gateway.state.redis_server import UNKNOWN, RedisServer
from gateway.state.repair import repair
from gateway.state.store import Condition, Progress, RedisState
from gateway.telemetry import state_events

CHECK_SECS = 1.0
AWAY_SECS = 0.2
"""The same while Redis cannot be asked."""
AGAIN_SECS = 1.0
"""Pause after a rebuild that failed."""
PAGE = 1000
"""Series that one query and one script call of a rebuild take at most."""
SLOW_SECS = 1.0
"""A page that takes longer is followed by a smaller one."""
REST_SECS = 1.0
"""Longest rest between two pages."""
MEMORY_SECS = 2.0
"""How often Redis is asked what it does when its memory is full."""
STOP_SECS = 2.0
"""Longest wait for what is under way, and longest farewell to Redis."""

EVICTS = (
    "when its memory is full it drops the newest state of devices, which is then read from the database;"
    " set maxmemory-policy to noeviction"
)
"""Said of a server that does."""

Result = Literal["done", "repeated", "elsewhere"]
"""Complete; something was lost meanwhile, so it did not count; another one rebuilds."""


class StateWatcher:
    """Owns the completeness of a state. `async with` starts and stops it; enter it before what publishes."""

    def __init__(self, state: RedisState, stored: NewestStored) -> None:
        self._state = state
        self._rebuilder = Rebuilder(state, stored)
        self._gap = False
        self._was_complete = False
        self._task: asyncio.Task[None] | None = None
        self._rebuilding: asyncio.Task[None] | None = None
        self._memory_at = 0.0
        """Loop time from which Redis is to be asked what it does when its memory is full."""
        self.server: RedisServer | None = None
        """What was told last."""
        self.condition: Condition | None = None
        """What was found last; None if the state could not be asked."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name="state.watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._task, self._rebuilding) if task]
        with suppress(TimeoutError):  # a database that hangs holds its query back
            async with asyncio.timeout(STOP_SECS):
                await end(*tasks)
        try:
            async with asyncio.timeout(STOP_SECS):
                await self._settle_gap()
                await self._state.leave()
        except (StateUnavailable, TimeoutError):
            pass  # then the others miss this gateway, and do what is needed

    def note_gap(self) -> None:
        """Take note that stored messages have not been shown and will not be."""
        self._gap = True

    @property
    def complete(self) -> bool:
        """Whether the state was known to be complete when it was looked at last."""
        return self.condition is not None and self.condition.complete

    @property
    def evicts(self) -> bool:
        """Whether Redis may drop the newest state of devices, as far as is known."""
        return self.server is not None and self.server.evicts

    def facts(self) -> dict[str, object]:
        """Say for /readyz how complete the state is, how far a rebuild of whichever gateway, and what may be lost."""
        rebuild = self.condition.rebuild if self.condition else None
        facts: dict[str, object] = {"complete": self.complete, "rebuilding": bool(rebuild)}
        facts["maxmemory_policy"] = self.server.policy if self.server else UNKNOWN
        if self.evicts:
            facts["warning"] = EVICTS
        return facts | (rebuild._asdict() if rebuild else {})

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except StateUnavailable:
                self.condition = None
            except Exception as exc:  # noqa: BLE001 - a mistake of ours must not end the watch
                self.condition = None
                state_events.keeper_failed(exc)
            state_events.complete(self.complete)
            await self._pause()

    async def _pause(self) -> None:
        if self._rebuilding and not self._rebuilding.done():
            await asyncio.wait([self._rebuilding], timeout=CHECK_SECS)
        else:
            await asyncio.sleep(CHECK_SECS if self.condition else AWAY_SECS)

    async def _look(self) -> None:
        await self._settle_gap()
        condition = self.condition = await self._state.check()
        self._was_complete |= condition.complete
        idle = self._rebuilding is None or self._rebuilding.done()
        if idle and not condition.complete and condition.rebuild is None:
            self._rebuilding = asyncio.create_task(self._try_rebuild(condition.server), name="state.rebuild")
        await self._look_at_memory()
        await self._state.tidy()

    async def _look_at_memory(self) -> None:
        """Ask now and then what Redis does when its memory is full: somebody may change it at any time."""
        now = asyncio.get_running_loop().time()
        if now < self._memory_at:
            return
        evicted, self.server = self.evicts, await self._state.server()
        self._memory_at = now + MEMORY_SECS
        state_events.memory(evicts=self.evicts, evicted=self.server.evicted_keys)
        if self.evicts != evicted:
            state_events.policy_changed(self.server.policy, evicts=self.evicts)

    async def _settle_gap(self) -> None:
        if not self._gap:
            return
        self._gap = False  # first: what is skipped from now on is a new gap
        try:
            await self._state.mark_incomplete()
        except BaseException:
            self._gap = True
            raise

    async def _try_rebuild(self, server: bytes) -> None:
        try:
            await self._rebuild(server)
        except GatewayError as exc:
            state_events.rebuild_failed(f"{exc.message}: {exc.__cause__!r}")
            await asyncio.sleep(AGAIN_SECS)
        except Exception as exc:  # noqa: BLE001 - it is tried again, and meanwhile reads come from the database
            state_events.keeper_failed(exc)
            await asyncio.sleep(AGAIN_SECS)

    async def _rebuild(self, server: bytes) -> None:
        now = asyncio.get_running_loop().time
        began, progress = now(), Progress(0, 0)

        def note(reached: Progress) -> None:
            nonlocal progress
            progress = reached
            if not reached.done:
                state_events.rebuild_began(reached.total, lost=self._was_complete)

        result = await self._rebuilder.rebuild(server, on_progress=note)
        if result != "elsewhere":
            state_events.rebuilt(progress.done, now() - began, complete=result == "done")


class Rebuilder:
    """Fills a state from the database, at most half of the time, in pages that do not take long."""

    def __init__(self, state: RedisState, stored: NewestStored) -> None:
        self._state = state
        self._stored = stored
        self._size = PAGE

    async def rebuild(self, server: bytes, *, on_progress: Callable[[Progress], None]) -> Result:
        """Return when the state is complete or this rebuild has become worthless.

        `server` is the run id that `check` gave. `on_progress` hears of the beginning, 0 done, and of each page.
        Raises StateUnavailable, SinkUnavailable, SinkFault.
        """
        progress = Progress(0, await self._stored.count())
        if not await self._state.step("begin", progress=progress, server=server):
            return "elsewhere"
        on_progress(progress)
        try:
            progress = await self._fill(progress, server, on_progress)
            complete = await self._state.step("finish", progress=progress, server=server)
        except BaseException:
            await self._give_up(progress, server)
            raise
        return "done" if complete else "repeated"

    async def _fill(self, progress: Progress, server: bytes, on_progress: Callable[[Progress], None]) -> Progress:
        now = asyncio.get_running_loop().time
        after, looked_at = 0, -1
        while looked_at:
            began = now()
            looked_at, after = await self._copy(after)
            progress = Progress(progress.done + looked_at, max(progress.total, progress.done + looked_at))
            if not await self._state.step("go on", progress=progress, server=server):
                break
            if looked_at:
                on_progress(progress)
            took = now() - began
            self._size = max(1, self._size // 2) if took > SLOW_SECS else min(PAGE, 2 * self._size)
            await asyncio.sleep(min(took, REST_SECS))
        return progress

    async def _copy(self, after: int) -> tuple[int, int]:
        try:
            page = await self._stored.page(after, size=self._size)
            if page.devices:
                await repair(self._state, self._stored, page.devices, anew=True)
        except GatewayError:
            self._size = max(1, self._size // 2)  # for the next attempt: perhaps it was too much at once
            raise
        return page.looked_at, page.last

    async def _give_up(self, progress: Progress, server: bytes) -> None:
        """Let others begin at once; if Redis does not hear it they do so a little later."""
        try:
            await self._state.step("leave", progress=progress, server=server)
        except StateUnavailable:
            return
