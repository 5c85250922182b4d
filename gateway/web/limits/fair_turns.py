"""Whose turn it is: first come, first served, a few in each turn of the event loop. Never refuses anybody.

A thousand bodies that arrive together would be decoded in one turn of the loop, and for as long nothing else would be
heard: no health check, no new connection. A few a turn cost them nothing and keep the others short of waiting. So it is
with requests, whatever they ask: those that begin go before those of a connection that has had its share of a turn.
"""

import asyncio
from collections import deque

from gateway.telemetry import http_events

EACH_TURN = 16
"""Bodies in one turn of the loop: some 40 ms of the largest usual ones."""
BYTES_EACH_TURN, BYTES_EACH_BODY = 512 * 1024, 2048
"""Of bodies that are taken at once: bytes in one turn, and what each counts for above its own; some 10 ms in all."""
GO_ON_EACH_TURN = 4
"""Connections that go on in one turn of the loop, each for its share: some 2 ms of whatever strangers pile up."""
BEGIN_EACH_TURN_US = 4000
"""What the requests may cost that begin in one turn of the loop, as estimated: some 35; the others go on later."""


class FairTurns:
    """The order in which one worker takes bodies in. At most one waits for each connection."""

    def __init__(self, each_turn: int = EACH_TURN) -> None:
        self._each_turn = each_turn
        self._left = each_turn
        self._bytes = BYTES_EACH_TURN
        self._begin_us: float = BEGIN_EACH_TURN_US
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def mine(self) -> None:
        """Return when it is the caller's turn; at once, unless many came together."""
        self._count()
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def is_free(self, size: int) -> bool:
        """Whether a body of so many bytes may be taken in right now: nobody waits, and this turn has not had enough."""
        self._count()
        if self._waiting or self._bytes < 0:
            return False
        self._bytes -= size + BYTES_EACH_BODY
        return True

    def may_begin(self, cost_us: float) -> bool:
        """Whether a request may be begun right now: this turn has not had enough of them."""
        self._count()
        self._begin_us -= cost_us
        return self._begin_us >= 0

    def later(self) -> "asyncio.Future[None]":
        """Return what is done in a later turn of the loop, for a connection that has had its share of this one."""
        http_events.deferred()
        self._count()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(turn)
        return turn

    def _count(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn of the loop with those who wait."""
        self._bytes, self._begin_us = BYTES_EACH_TURN, BEGIN_EACH_TURN_US
        self._left = self._each_turn - _wake(self._waiting, self._each_turn)
        _wake(self._resting, GO_ON_EACH_TURN)
        self._is_counting = bool(self._waiting or self._resting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)


def _wake(waiting: "deque[asyncio.Future[None]]", most: int) -> int:
    """Let the first of them go on, and return how many those are; who has given up takes no turn."""
    woken = 0
    while waiting and woken < most:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            woken += 1
    return woken
