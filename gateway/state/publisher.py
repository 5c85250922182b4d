"""Committed blocks → live state, without ever making an acknowledgement fail or wait longer than `ack_wait_ms`.

What cannot be applied at once is kept, bounded in rows, and applied when Redis is back; since the newest time wins, the
order does not matter. What does not fit is counted as skipped: the database still has it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Self

from gateway import settings
from gateway.contracts import LiveState
from gateway.errors import StateUnavailable
from gateway.model import Block
from gateway.telemetry import events

FLIGHTS = 4
"""Script calls under way at once."""
RETRY_SECS = 0.5


class Publisher:
    """Owns the way to Redis. `async with` starts and stops it."""

    def __init__(self, state: LiveState, limits: settings.Redis) -> None:
        self._state = state
        self._wait = limits.ack_wait_ms / 1000
        self._max_rows = limits.max_pending_rows
        self._backlog: deque[Block] = deque()
        self._backlog_rows = 0
        self._flights: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._catching_up: asyncio.Task[None] | None = None
        self.healthy = True

    @property
    def behind(self) -> int:
        """Messages that Redis has not got yet."""
        return self._backlog_rows

    async def __aenter__(self) -> Self:
        self._catching_up = asyncio.create_task(self._catch_up(), name="state.catch_up")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._catching_up:
            self._catching_up.cancel()
            await asyncio.wait([self._catching_up])
        if self._flights:
            await asyncio.wait(self._flights)

    async def publish(self, blocks: Sequence[Block]) -> None:
        """Return when the state shows the blocks, or after the bounded wait, or at once while Redis is away."""
        if self._backlog or len(self._flights) >= FLIGHTS:
            self._keep(blocks)
            return
        flight = asyncio.create_task(self._apply(blocks), name="state.apply")
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
        _, late = await asyncio.wait([flight], timeout=self._wait)
        if late:
            events.state_late()

    async def _apply(self, blocks: Sequence[Block]) -> None:
        started = asyncio.get_running_loop().time()
        try:
            await self._state.apply(blocks)
        except StateUnavailable as exc:
            self._set_healthy(healthy=False, exc=exc)
            self._keep(blocks)
        else:
            self._set_healthy(healthy=True)
            events.state_applied(asyncio.get_running_loop().time() - started)

    def _keep(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._backlog.append(block)
            self._backlog_rows += len(block)
        while self._backlog_rows > self._max_rows and self._backlog:
            rows = len(self._backlog.popleft())
            self._backlog_rows -= rows
            events.state_skipped(rows=rows)
        self._wake.set()

    async def _catch_up(self) -> None:
        """Apply what was kept, oldest first, a block at a time."""
        while True:
            if not self._backlog:
                self._wake.clear()
                await self._wake.wait()
            block = self._backlog[0]
            try:
                await self._state.apply([block])
            except StateUnavailable as exc:
                self._set_healthy(healthy=False, exc=exc)
                await asyncio.sleep(RETRY_SECS)
                continue
            self._set_healthy(healthy=True)
            if self._backlog and self._backlog[0] is block:  # else it was skipped meanwhile
                self._backlog.popleft()
                self._backlog_rows -= len(block)

    def _set_healthy(self, *, healthy: bool, exc: StateUnavailable | None = None) -> None:
        if healthy != self.healthy:
            self.healthy = healthy
            if healthy:
                events.state_back()
            else:
                events.state_lost(repr(exc.__cause__ if exc else None))
