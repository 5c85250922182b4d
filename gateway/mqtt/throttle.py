"""The throttle: messages of devices over their limits wait here, never for so long that the others would.

All devices come over one connection, in one order: a message that waits, unacknowledged, holds a place of the broker's
window, and what the window has no room for waits at the broker behind it, whoever sent it, until the broker's own queue
is full and it drops. So messages over a limit wait while less than half of the window is in hand. Beyond that the
oldest of them are let go, but as backfill: they are stored after everybody else's. Nothing is dropped either way.
"""

import asyncio
from collections.abc import Callable

from gateway.domain.rate_limit import Meter, Meters
from gateway.telemetry import limit_events

MAX_HOLD_SECS = 60.0
"""Longest pause of a message, and of what a device is over its limits that is remembered."""


class Throttle:
    """Makes devices wait. `crowded` tells whether as much is in hand as may be while somebody waits."""

    def __init__(self, meters: Meters, *, crowded: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._meters = meters
        self._crowded = crowded
        self._monotonic = monotonic
        self._waiting: dict[asyncio.Future[None], None] = {}
        """What waits, oldest first."""
        self._open = False

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    async def pace(self, device: str, *, size: int, readings: int) -> bool:
        """Count a message, and return when its device is within its limits (False) or it was let go before (True)."""
        over = self._count(device, size=size, readings=readings)
        if over is None:
            return False
        meter, wait = over
        limit_events.slowed(meter.rate.name, device)
        if await self._released_early(wait):
            limit_events.backfilled(meter.rate.name)
            return True
        return False

    def relieve(self) -> None:
        """Let the oldest go if too much is in hand; call it as messages arrive."""
        if self._waiting and self._crowded():
            self._release_oldest()

    def release(self) -> None:
        """Let all go, and make nobody wait any more: the gateway stops."""
        self._open = True
        while self._waiting:
            self._release_oldest()

    def _release_oldest(self) -> None:
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        if not oldest.done():
            oldest.set_result(None)

    def _count(self, device: str, *, size: int, readings: int) -> tuple[Meter, float] | None:
        """Return the meter that the device must wait for longest, and how long."""
        now = self._monotonic()
        longest: tuple[Meter, float] | None = None
        for meter, units in zip(self._meters, (1, readings, size), strict=True):
            if meter is None:
                continue
            wait = meter.wait(device, units, now)
            meter.charge(device, units, now, most_secs=MAX_HOLD_SECS)
            if wait > (0 if longest is None else longest[1]):
                longest = meter, wait
        return longest

    async def _released_early(self, wait: float) -> bool:
        """Wait; return whether it was cut short."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        if self._open or self._crowded():
            self._release_oldest()
        try:
            await asyncio.wait([turn], timeout=min(wait, MAX_HOLD_SECS))
            return turn.done() or wait > MAX_HOLD_SECS
        finally:
            self._waiting.pop(turn, None)


class MessageCharge:
    """What one message has to wait for: counted once, however often the message is tried."""

    __slots__ = ("_device", "_is_paid", "_released_early", "_size", "_throttle")

    def __init__(self, throttle: Throttle, device: str, *, size: int) -> None:
        self._throttle = throttle
        self._device = device
        self._size = size
        self._is_paid = False
        self._released_early = False

    async def __call__(self, readings: int) -> bool:
        """Return whether the message is to be stored as backfill. `contracts.Charge`."""
        if not self._is_paid:
            self._is_paid = True
            self._released_early = await self._throttle.pace(self._device, size=self._size, readings=readings)
        return self._released_early
