"""Requests at a steady rate: an iterator of them in, times and faults out. An open loop: it does not wait.

The times count from when a request was due, so a gateway that stalls cannot hide it. Like the closed loop it works in
callbacks, a task only hands out the turns: what the generator takes of a shared machine the gateway has not.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from simulator.measure.bench.closed_loop import Caller
from simulator.measure.bench.gateway import Gateway
from simulator.measure.bench.tally import Tally
from simulator.measure.bench.window import Window
from simulator.send.pacing import Clock, Pace

_CONNECTIONS = 64
"""Enough to keep the rate up while an answer takes 30 ms."""
_ANSWER_S = 10.0
_PATIENCE_S = 1.0
"""Seconds after which a request that could not be sent is left out."""
_GRAIN_S = 0.001


class Line(Caller):
    """One connection; `free` gets it back when its request is answered."""

    def __init__(self, tally: Tally, free: "asyncio.Queue[Line]", *, clock: Clock) -> None:
        super().__init__(iter(()), tally, clock=clock)
        self._free = free

    def ask(self, request: bytes, *, due: float) -> None:
        """Send a request that was due then."""
        self._waits = True
        self._began = due
        self._transport.write(request)

    def send(self) -> None:
        """Be told that the answer has come; there is no next request before it is due."""
        if not self._transport.is_closing():
            self._free.put_nowait(self)


class OpenLoop:
    """Lines on which the next request is sent when it is due."""

    def __init__(self, gateway: Gateway, requests: Iterator[bytes], tally: Tally, *, rate: float) -> None:
        """`rate` in requests/s; the requests do not end."""
        self._tally = tally
        self._gateway = gateway
        self._requests = requests
        self._rate = rate
        self._lines: deque[Line] = deque()
        self._free: asyncio.Queue[Line] = asyncio.Queue()

    async def open(self, clock: Clock) -> None:
        """Connect. Raises Unreachable."""
        for _ in range(_CONNECTIONS):
            self._lines.append(await self._gateway.connect(lambda: Line(self._tally, self._free, clock=clock)))
            self._free.put_nowait(self._lines[-1])

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines:
            line.abort()

    async def run(self, window: Window) -> None:
        """Send until the window is closed, and wait for what is on the way."""
        posts = max(1, int(self._rate * window.seconds))
        pace = Pace(self._rate, posts, patience=_PATIENCE_S, clock=window.clock, grain=_GRAIN_S)
        while window.is_open and (turn := pace.claim()) is not None:
            await pace.arrival(turn)
            line = await self._next_free()
            if line is None:
                break
            line.ask(next(self._requests), due=turn.due)
        for _ in self._lines:
            if await self._next_free() is None:
                break
        if pace.unsent:
            self._tally.faults["unsent"] += pace.unsent

    async def _next_free(self) -> Line | None:
        """Return a line without a request; None if there is none for too long."""
        if not self._free.empty():
            return self._free.get_nowait()
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._free.get()
        except TimeoutError:
            return None
