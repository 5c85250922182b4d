"""Requests at a steady rate: an iterator of them in, times and faults out. An open loop: it does not wait.

The times count from when a request was due, so a gateway that stalls cannot hide it.
"""

import asyncio
from collections.abc import Iterator

from simulator.bench.gateway import Gateway
from simulator.bench.tally import Tally
from simulator.bench.window import Window
from simulator.drivers.http import HttpConnection
from simulator.errors import ConnectionLost
from simulator.pacing import Pace

_CONNECTIONS = 64
"""Enough to keep the rate up while an answer takes 30 ms."""
_ANSWER_S = 10.0
_PATIENCE_S = 1.0
"""Seconds after which a request that could not be sent is left out."""


class OpenLoop:
    """Callers that send the next request when it is due."""

    def __init__(self, gateway: Gateway, requests: Iterator[bytes], tally: Tally, *, rate: float) -> None:
        """`rate` in requests/s; the requests do not end."""
        self._tally = tally
        self._gateway = gateway
        self._requests = requests
        self._rate = rate
        self._connections: list[HttpConnection] = []

    async def open(self) -> None:
        """Connect. Raises Unreachable."""
        for _ in range(_CONNECTIONS):
            self._connections.append(await self._gateway.connect(HttpConnection))

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    async def run(self, window: Window) -> None:
        """Send until the window is closed."""
        posts = max(1, int(self._rate * window.seconds))
        pace = Pace(self._rate, posts, patience=_PATIENCE_S, clock=window.clock)
        async with asyncio.TaskGroup() as group:
            for i, connection in enumerate(self._connections):
                group.create_task(self._call(connection, pace, window), name=f"bench.open_loop[{i}]")
        if pace.unsent:
            self._tally.faults["unsent"] += pace.unsent

    async def _call(self, connection: HttpConnection, pace: Pace, window: Window) -> None:
        while window.is_open and (turn := pace.claim()) is not None:
            await pace.arrival(turn)
            try:
                async with asyncio.timeout(_ANSWER_S):
                    response = await connection.request(next(self._requests))
            except (ConnectionLost, TimeoutError):
                self._tally.faults["connection_lost"] += 1
                return
            self._tally.take(response.status, response.body, window.clock() - turn.due)
