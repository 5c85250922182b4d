"""Whose turn it is: first come, first served, a few in each turn of the event loop. Never refuses anybody.

A thousand bodies that arrive together would be decoded in one turn of the loop, and for as long nothing else would be
heard: no health check, no new connection. A few a turn cost them nothing and keep the others short of waiting. So it is
with requests, whatever they ask: those that begin go before those of a connection that has had its share of a turn, a
few probes before all others. And so it is with large answers: a piece of each in a turn, and of all no more than is
written in a moment.
"""

import asyncio
from collections import deque

from gateway.telemetry import http_events

EACH_TURN = 16
"""Bodies in one turn of the loop: some 40 ms of the largest usual ones."""
BYTES_EACH_TURN, BYTES_EACH_BODY = 512 * 1024, 2048
"""Of bodies that are taken at once: bytes in one turn, and what each counts for above its own; some 10 ms in all."""
ANSWER_BYTES_EACH_TURN = 512 * 1024
"""Of large answers, begun or gone on with in one turn of the loop: some 2 ms. Small ones wait for none of them."""
GO_ON_EACH_TURN = 4
"""Connections that go on in one turn of the loop, each for its share: some 2 ms of whatever strangers pile up."""
BEGIN_EACH_TURN_US = 4000
"""What the requests may cost that begin in one turn of the loop, as estimated: some 35; the others begin later."""
PROBES_EACH_TURN_US = 1000
"""What probes may cost on top of these, who wait behind nobody; any more of them wait like others."""


class TurnQueue:
    """Those who wait for a turn of the same kind, in order, with what each costs."""

    def __init__(self) -> None:
        self._all: deque[tuple[asyncio.Future[None], float]] = deque()

    def __bool__(self) -> bool:
        return bool(self._all)

    def join(self, cost: float) -> "asyncio.Future[None]":
        """Return what is done when it is the caller's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all.append((turn, cost))
        return turn

    def wake(self, most: float) -> float:
        """Let the first go on whose costs come to so much, and return these; who has given up takes no turn."""
        spent = 0.0
        while self._all and spent < most:
            turn, cost = self._all.popleft()
            if not turn.done():
                turn.set_result(None)
                spent += cost
        return spent


class FairTurns:
    """The order in which one worker takes bodies in, begins requests, and writes large answers."""

    def __init__(self, each_turn: int = EACH_TURN) -> None:
        self._each_turn = each_turn
        self._left = each_turn
        self._bytes = BYTES_EACH_TURN
        self._begin_us: float = BEGIN_EACH_TURN_US
        self._probe_us: float = PROBES_EACH_TURN_US
        self._waiting, self._beginning = TurnQueue(), TurnQueue()
        self._resting, self._writing = TurnQueue(), TurnQueue()
        self._is_counting = False

    async def mine(self) -> None:
        """Return when it is the caller's turn; at once, unless many came together."""
        self._count()
        if self._left and not self._waiting:
            self._left -= 1
            return
        await self._waiting.join(1)

    def is_free(self, size: int) -> bool:
        """Whether a body of so many bytes may be taken in right now: nobody waits, and this turn has not had enough."""
        self._count()
        if self._waiting or self._bytes < 0:
            return False
        self._bytes -= size + BYTES_EACH_BODY
        return True

    def may_begin(self, cost_us: float) -> bool:
        """Whether a request may be begun right now: nobody waits to, and this turn has not had enough of them."""
        self._count()
        if self._beginning or self._begin_us < cost_us:
            return False
        self._begin_us -= cost_us
        return True

    def may_probe(self, cost_us: float) -> bool:
        """Whether a probe may be begun right now, whoever waits."""
        self._count()
        self._probe_us -= cost_us
        return self._probe_us >= 0

    def begin(self, cost_us: float) -> "asyncio.Future[None]":
        """Return what is done in a later turn of the loop, when a request may be begun."""
        http_events.deferred()
        self._count()
        return self._beginning.join(cost_us)

    def write(self, size: int) -> "asyncio.Future[None]":
        """Return what is done in a later turn of the loop, when so many bytes of a large answer may be written.

        Who hangs up after asking is known to be gone by then.
        """
        self._count()
        return self._writing.join(size)

    def later(self) -> "asyncio.Future[None]":
        """Return what is done in a later turn of the loop, for a connection that has had its share of this one."""
        http_events.deferred()
        self._count()
        return self._resting.join(1)

    def _count(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn of the loop with those who wait."""
        self._bytes, self._probe_us = BYTES_EACH_TURN, PROBES_EACH_TURN_US
        self._left = self._each_turn - int(self._waiting.wake(self._each_turn))
        self._begin_us = BEGIN_EACH_TURN_US - self._beginning.wake(BEGIN_EACH_TURN_US)
        self._resting.wake(GO_ON_EACH_TURN)
        self._writing.wake(ANSWER_BYTES_EACH_TURN)
        self._is_counting = bool(self._waiting or self._beginning or self._resting or self._writing)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
