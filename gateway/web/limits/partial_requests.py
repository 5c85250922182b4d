"""Connections whose request has come in part in, those that waited too long for its rest out. Reads no byte of it.

A head and its body often come in two packets. For as long as it takes the second to follow, Sanic need not know; a body
that takes longer is Sanic's to wait for, with its deadline.
"""

import asyncio
from typing import Protocol

from gateway.web.limits.body_budget import Bodies

HOLD_SECS = 0.1
"""A request is held back for as long at least, and twice as long at most."""


class Held(Protocol):
    """A connection that holds back a part of a request."""

    def let_go(self) -> None:
        """Give up waiting for the rest."""
        ...


class Arriving:
    """The connections of one worker that wait for the rest of a request.

    They share one timer, which turns like an hourglass: who was there when it was last turned has waited long enough. A
    timer for each would cost a tenth of its request.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._new: dict[Held, int] = {}
        self._old: dict[Held, int] = {}
        """Connections → the bytes that they hold."""
        self._turning: asyncio.TimerHandle | None = None

    def hold(self, connection: Held, size: int) -> bool:
        """Let a connection wait with so many bytes, or so many more; False if there is no room for them."""
        if not self._bodies.has_room(size):
            return False
        waiting = self._old if connection in self._old else self._new
        waiting[connection] = waiting.get(connection, 0) + size
        self._bodies.in_hand += size
        if self._turning is None:
            self._turning = asyncio.get_running_loop().call_later(HOLD_SECS, self._turn)
        return True

    def leave(self, connection: Held) -> None:
        """Let a connection wait no longer."""
        size = self._new.pop(connection, 0) or self._old.pop(connection, 0)
        self._bodies.in_hand -= size

    def _turn(self) -> None:
        for connection in list(self._old):
            connection.let_go()
        self._old, self._new = self._new, {}
        again = asyncio.get_running_loop().call_later(HOLD_SECS, self._turn) if self._old else None
        self._turning = again
