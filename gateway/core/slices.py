"""Slices: long work as a generator in, its result out, and never more of the event loop's time than a slice at once.

All work of one `Slices` shares a budget in each turn of the loop: ten long bodies take no more of a turn than one does.
Who has had nothing yet comes before those who have, for a short slice: what is small waits for nobody's long work. The
others take turns, and a quarter of the time is theirs however many are new. What fits into the rest of a turn does not
wait at all.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

TURN_SECS = 0.001
"""What all work may take of one turn of the loop; a step that began in it is ended. An answer takes a dozen turns."""
FIRST_PART = 2
"""A first slice is this part of a turn."""
OTHERS_PART = 4
"""This part of a turn is for work that has begun, if there is any."""

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
        self._left_to_new = turn_secs
        self._new: deque[asyncio.Future[None]] = deque()
        self._begun: deque[asyncio.Future[None]] = deque()
        self._called = 0
        """Of those that have begun, how many were woken and have not gone on yet."""
        self._is_counting = False

    async def run(self, steps: Steps[Result]) -> Result:
        """Return what the work returns, and raise what it raises. Cancelled, the work ends where it is."""
        queue = self._new
        try:
            while True:
                await self._turn(queue)
                try:
                    self._do(steps, is_new=queue is self._new)
                    queue = self._begun
                except StopIteration as end:
                    result: Result = end.value
                    return result
        finally:
            steps.close()

    def _do(self, steps: Steps[Result], *, is_new: bool) -> None:
        began = self._clock()
        most = self._turn_secs / FIRST_PART if is_new else self._left
        until = began + min(self._left, most, self._left_to_new if is_new and self._others else self._left)
        try:
            while self._clock() < until:
                next(steps)
        finally:
            took = self._clock() - began
            self._left -= took
            self._left_to_new -= took if is_new else 0.0
            self._wake()

    async def _turn(self, waiting: "deque[asyncio.Future[None]]") -> None:
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)
        is_new = waiting is self._new
        if self._left > 0 and not self._new and (not self._others or (is_new and self._left_to_new > 0)):
            return
        queue = waiting.append
        while True:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue(turn)
            try:
                await turn
            finally:
                self._called -= 0 if is_new or not turn.done() or turn.cancelled() else 1
            if self._left > 0:
                return
            queue = waiting.appendleft  # somebody else was quicker: it is still the first

    @property
    def _others(self) -> bool:
        """Whether there is work that has begun, beside what is new."""
        return bool(self._begun) or self._called > 0

    def _next(self) -> None:
        """Begin a turn of the loop."""
        self._left = self._turn_secs
        self._left_to_new = self._turn_secs * (1 - 1 / OTHERS_PART)
        self._is_counting = bool(self._new or self._begun)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
            self._wake()

    def _wake(self) -> None:
        """Let the next go on, if there is time left in this turn."""
        while (self._new or self._begun) and self._left > 0:
            is_new = bool(self._new) and (self._left_to_new > 0 or not self._begun)
            turn = (self._new if is_new else self._begun).popleft()
            if not turn.done():
                turn.set_result(None)
                self._called += not is_new
                return
