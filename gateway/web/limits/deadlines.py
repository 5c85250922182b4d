"""The deadlines of connections: those of one worker in, those that take too long told so. One timer for all of them.

A timer for each would have to be moved with every request, and would keep a connection that is gone until it fires.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Protocol

from gateway.core.errors import HeadTimeout

HEAD_DEADLINE, KEEP_ALIVE = "http.head_deadline_secs", "http.keep_alive_secs"
LOOK_SECS = 1.0
"""How often all are looked at; a deadline is late by as much, at most. 10,000 take some 5 ms."""


class Timed(Protocol):
    """A connection that may take too long."""

    def look(self, now: float) -> None:
        """End what is overdue; `now` is the monotonic time, in seconds."""
        ...


class Deadlines:
    """Looks at connections for as long as there are any."""

    def __init__(self, shortest_secs: float) -> None:
        """Look often enough for the shortest deadline that there is."""
        self._every = min(LOOK_SECS, shortest_secs / 4)
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connections: Collection[Timed]) -> None:
        """Look after these from now on; to be called whenever there is one more."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look, connections)

    def _look(self, connections: Collection[Timed]) -> None:
        self._timer = None
        now = time.monotonic()
        for connection in list(connections):
            connection.look(now)
        if connections:
            self.watch(connections)


def head_too_slow(secs: float) -> HeadTimeout:
    """Return the error for a head that has not come in time."""
    return HeadTimeout(
        f"the head of the request did not arrive within {secs:g} s ({HEAD_DEADLINE}); send it at once",
        limit=HEAD_DEADLINE,
        value=secs,
    )
