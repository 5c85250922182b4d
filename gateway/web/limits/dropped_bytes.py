"""The budget of dropped bytes: what comes of refused requests in, how fast all of it is read out. One timer for all.

Who was refused is read for a while, so that the answer is not lost in a reset (RFC 9112 9.6). Nobody is served by that:
beyond the budget such connections are not read, and go on in the order in which they came.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from gateway.telemetry import http_events

BYTES_PER_SEC = 64 * 2**20
"""Bytes a second that one worker reads in vain; some 4 % of one CPU."""
AT_ONCE_BYTES = 4 * 2**20
"""As many after a quiet time."""
PAUSE_SECS = 0.01
"""How often connections go on that were not read, while bytes are left."""
EACH_PAUSE = 8
"""As many then: one read brings 256 KB at most, so all bring some 1 ms of work."""


class Sender(Protocol):
    """A connection whose bytes are dropped."""

    def drop_more(self) -> None:
        """Read on."""
        ...


class DroppedBytes:
    """What one worker drops."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._left: float = AT_ONCE_BYTES
        self._at = monotonic()
        self._waiting: dict[Sender, None] = {}
        """The one that waits for longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def drop(self, sender: Sender, size: int) -> bool:
        """Count bytes that were dropped; False: the sender is not to be read until it is told to go on."""
        self._left = self._now_left() - size
        if self._left >= 0 and not self._waiting:
            return True
        http_events.deferred()
        self._waiting[sender] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECS, self._go_on)
        return False

    def forget(self, sender: Sender) -> None:
        """Let a connection wait no longer: it is gone."""
        self._waiting.pop(sender, None)

    def _go_on(self) -> None:
        self._timer = None
        self._left = self._now_left()
        for sender in list(islice(self._waiting, EACH_PAUSE if self._left > 0 else 0)):
            del self._waiting[sender]
            sender.drop_more()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECS, self._go_on)

    def _now_left(self) -> float:
        before, self._at = self._at, self._monotonic()
        return min(AT_ONCE_BYTES, self._left + (self._at - before) * BYTES_PER_SEC)
