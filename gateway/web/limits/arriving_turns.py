"""Whose body is read on: bytes of arriving bodies in, a few in each turn of the loop out. Never refuses anybody.

As fast as many large bodies come they would be read in every turn of the loop, and whoever waits for some turns would
wait for all of them. Beyond a turn's bytes each waits; credentials take turns, however many bodies one of them sends.
"""

import asyncio
from collections import deque

from gateway.telemetry import http_events

BYTES_EACH_TURN = 512 * 1024
"""Bytes of such bodies in one turn of the loop."""
GO_ON_EACH_TURN = 2
"""Bodies that are read on in one turn when others wait: one read brings 256 KB at most, and some 0.3 ms of work."""

Turns = deque[asyncio.Future[None]]


class ArrivingTurns:
    """The order in which one worker reads bodies."""

    def __init__(self) -> None:
        self._left = BYTES_EACH_TURN
        self._waiting: dict[str | None, Turns] = {}
        """By credential, the one whose turn it is first."""
        self._is_counting = False

    async def take(self, credential: str | None, size: int) -> None:
        """Count bytes that came; return when its connection may read on, which usually is at once."""
        self._left -= size
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left >= 0 and not self._waiting:
            return
        http_events.deferred()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(credential, deque()).append(turn)
        await turn

    def _next(self) -> None:
        """Begin a turn of the loop with those who wait."""
        self._left = BYTES_EACH_TURN
        woken = 0
        while self._waiting and woken < GO_ON_EACH_TURN:
            woken += self._wake_one()
        self._is_counting = bool(self._waiting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)

    def _wake_one(self) -> bool:
        """Let one body of the next credential go on; False if nobody waits for it any more."""
        credential = next(iter(self._waiting))
        turns = self._waiting.pop(credential)
        turn = turns.popleft()
        if turns:
            self._waiting[credential] = turns
        if turn.done():
            return False
        turn.set_result(None)
        return True
