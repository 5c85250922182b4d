"""Whose body is read next: first come, first served, a few in each turn of the event loop. Never refuses anybody.

A thousand bodies that arrive together would be decoded in one turn of the loop, and for as long nothing else would be
heard: no health check, no new connection. A few a turn cost them nothing and keep the others short of waiting.
"""

import asyncio
from collections import deque

EACH_TURN = 16
"""Bodies in one turn of the loop: some 40 ms of the largest usual ones."""
BYTES_EACH_TURN, BYTES_EACH_BODY = 512 * 1024, 2048
"""Of bodies that are taken at once: bytes in one turn, and what each counts for above its own; some 10 ms in all."""


class FairTurns:
    """The order in which one worker takes bodies in. At most one waits for each connection."""

    def __init__(self, each_turn: int = EACH_TURN) -> None:
        self._each_turn = each_turn
        self._left = each_turn
        self._bytes = BYTES_EACH_TURN
        self._waiting: deque[asyncio.Future[None]] = deque()
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

    def _count(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn of the loop with those who wait."""
        self._left, self._bytes = self._each_turn, BYTES_EACH_TURN
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller has given up
                turn.set_result(None)
                self._left -= 1
        self._is_counting = bool(self._waiting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
