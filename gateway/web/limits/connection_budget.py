"""The budget of one connection: the memory its unfinished request may hold, for how long, and its turn at the loop.

A head and its body often come in two packets. For as long as it takes the second to follow, Sanic need not know; a body
that takes longer is Sanic's to wait for, with its deadline.
"""

import asyncio
from typing import Protocol

from gateway.web.limits.body_budget import Bodies
from gateway.web.limits.connections import is_probe
from gateway.web.limits.fair_turns import FairTurns

HOLD_SECS = 0.1
"""An unfinished request is held for as long at least, and twice as long at most."""
FREE_BYTES = 16 * 1024
"""What may have come that was not read yet goes with the seat: a head, or a few small requests in a row."""
SHARE_US = 500
"""What a connection may cost in one turn of the loop before others have theirs, in microseconds as estimated here."""
REQUEST_US, HEAD_BYTE_US, CHUNK_US, FRAME_US = 100, 0.05, 4, 20
"""What a request costs the loop that waits for nothing, above it each byte of its head, a chunk of a body, and a frame
of a WebSocket."""


class Holder(Protocol):
    """A connection that holds an unfinished request."""

    def give_up(self) -> None:
        """Hold it no longer: its rest takes too long."""
        ...


class ConnectionBudget:
    """What one connection holds. It knows its connection only while it does, so that neither keeps the other alive."""

    __slots__ = ("_begins", "_left_us", "_unread", "_worker", "held", "is_known")

    def __init__(self, worker: "ConnectionBudgets") -> None:
        self._worker = worker
        self._left_us: float = SHARE_US
        self._begins = True
        """It has sent something after a pause."""
        self._unread = 0
        self.is_known = False
        """Whether a valid credential came on it."""
        self.held = 0
        """Bytes of the request that have come."""

    def hold(self, holder: Holder, size: int) -> bool:
        """Hold so many bytes, or so many more; False if there is no room for them."""
        bodies = self._worker.bodies
        if not bodies.has_room(size):
            return False
        if not self.held:
            self._worker.expect(holder)
        self.held += size
        bodies.inflight_bytes += size
        return True

    def release(self, holder: Holder) -> None:
        """Hold nothing any more."""
        self._worker.forget(holder)
        self._worker.bodies.inflight_bytes -= self.held
        self.held = 0

    def read_ahead(self, size: int) -> bool:
        """Note how much has come that nobody has read yet; False if that is more than there is room for."""
        more = max(0, size - FREE_BYTES) - self._unread
        if more and not self._worker.bodies.read_ahead(more, known=self.is_known):
            return False
        self._unread += more
        return True

    def know(self) -> None:
        """Count as one who has shown a valid credential from now on."""
        if not self.is_known:
            self._worker.bodies.unknown_bytes -= self._unread
            self.is_known = True

    def take_turn(self, size: int) -> bool:
        """Whether a whole body of so many bytes may be decoded right now; if so, it counts against this turn."""
        return self._worker.bodies.has_room(size) and self._worker.turns.is_free(size)

    def begin_turn(self) -> None:
        """Have a whole share again: it has waited for something, and the others have had their turns."""
        self._left_us, self._begins = SHARE_US, True

    def spend(self, cost_us: float) -> bool:
        """Count what something costs, before or after it is done; False when that is more than this turn's share."""
        self._left_us -= cost_us
        return self._left_us >= 0

    def later(self) -> "asyncio.Future[None]":
        """Return what is done when it may go on, with another share."""
        self._left_us = min(SHARE_US, self._left_us + SHARE_US)
        return self._worker.turns.later()

    def write(self, size: int) -> "asyncio.Future[None]":
        """Return what is done when so many bytes of a large answer may be written: once in a turn, if at all."""
        return self._worker.turns.write(size)

    async def pay(self, cost_us: float, start: bytes | bytearray = b"") -> None:
        """Count what something costs; return when it may be done, which is at once within a share of a usual turn.

        `start`: what has come of a request, which may be a probe.
        """
        if self._begins:
            self._begins = False
            turns = self._worker.turns
            if not turns.may_begin(cost_us) and not (is_probe(start) and turns.may_probe(cost_us)):
                await turns.begin(cost_us)
        self._left_us -= cost_us
        while self._left_us < 0:
            await self.later()


class ConnectionBudgets:
    """What the connections of one worker share.

    They have one timer, which turns like an hourglass: who was there when it was last turned has waited long enough. A
    timer for each would cost a tenth of its request.
    """

    def __init__(self, bodies: Bodies, turns: FairTurns) -> None:
        self.bodies = bodies
        self.turns = turns
        self._new: dict[Holder, None] = {}
        self._old: dict[Holder, None] = {}
        self._turning: asyncio.TimerHandle | None = None

    def of_connection(self) -> ConnectionBudget:
        """Return the budget of a new connection."""
        return ConnectionBudget(self)

    def expect(self, holder: Holder) -> None:
        """Let a connection wait for the rest of its request, but not for long."""
        self._new[holder] = None
        if self._turning is None:
            self._turning = asyncio.get_running_loop().call_later(HOLD_SECS, self._turn)

    def forget(self, holder: Holder) -> None:
        """Let a connection wait no longer."""
        self._new.pop(holder, None)
        self._old.pop(holder, None)

    def _turn(self) -> None:
        for holder in list(self._old):
            holder.give_up()
        self._old, self._new = self._new, {}
        again = asyncio.get_running_loop().call_later(HOLD_SECS, self._turn) if self._old else None
        self._turning = again
