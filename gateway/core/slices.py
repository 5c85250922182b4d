"""Slices: long work as a generator in, its result out, and never more of the event loop's time than a slice at once.

All work of one `Slices` shares a budget in each turn of the loop, first come, first served: ten long bodies take no
more of a turn than one does. Work that fits into what is left of a turn does not wait at all.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

TURN_SECS = 0.008
"""What all work may take of one turn of the loop; a step that began within it is ended."""

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Work that yields where it may be interrupted, every millisecond or so, and returns what it made."""


def at_once(steps: Steps[Result]) -> Result:
    """Do all of the work now, for whoever has no loop to share, or knows that there is little."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


class Slices:
    """Does work in slices. One per worker."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, *, turn_secs: float = TURN_SECS) -> None:
        self._clock = clock
        self._turn_secs = turn_secs
        self._left = turn_secs
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def run(self, steps: Steps[Result]) -> Result:
        """Return what the work returns, and raise what it raises. Cancelled, the work ends where it is."""
        try:
            while True:
                await self._turn()
                try:
                    self._do(steps)
                except StopIteration as end:
                    result: Result = end.value
                    return result
        finally:
            steps.close()

    def _do(self, steps: Steps[Result]) -> None:
        began = self._clock()
        until = began + self._left
        try:
            while self._clock() < until:
                next(steps)
        finally:
            self._left -= self._clock() - began
            self._wake()

    async def _turn(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0 and not self._waiting:
            return
        queue = self._waiting.append
        while True:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue(turn)
            await turn
            if self._left > 0:
                return
            queue = self._waiting.appendleft  # somebody else was quicker: it is still the first

    def _next(self) -> None:
        """Begin a turn of the loop."""
        self._left = self._turn_secs
        self._is_counting = bool(self._waiting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
            self._wake()

    def _wake(self) -> None:
        """Let the next go on, if there is time left in this turn."""
        while self._waiting and self._left > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
