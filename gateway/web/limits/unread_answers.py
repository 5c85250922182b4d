"""The budget of unread answers: what one worker has written and its readers have not taken, and who is cut off for it.

A reader is slow from when something of an answer finds no room in the system's buffer until all of it has gone. Answers
are given in pieces, so that this is one piece for each connection. Who stays slow for too long is cut off; above the
budget those are who are slow for longest. An answer that is larger than a piece, and that is made for this reader
alone, counts whole until it is sent.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from gateway.core.errors import Overloaded
from gateway.core.settings import HttpSettings
from gateway.telemetry import events, http_events

PIECE_BYTES = 64 * 1024
"""What is given to a connection at once; the next when all of it has gone."""
LARGE_BYTES = 16 * 1024
"""An answer above this waits for its turn to be written, with each of its pieces."""
LOOK_SECS = 0.5
"""How often slow readers are looked at."""
GRACE_SECS = 1.0
"""A reader that is slow for less is not cut off to make room for a large answer: that one is refused."""
MAX_UNREAD, STALL = "http.max_unread_bytes", "http.stall_secs"


class Reader(Protocol):
    """A connection, as far as it is read from."""

    @property
    def stall_secs(self) -> float:
        """How long it may be slow."""
        ...

    def cut_off(self) -> None:
        """End it at once."""
        ...


class _Slow(NamedTuple):
    since: float
    size: int


class UnreadAnswers:
    """The answers of one worker."""

    def __init__(self, limits: HttpSettings) -> None:
        self._most = limits.max_unread_bytes
        self.stall_secs = limits.stall_secs
        """How long a reader may be slow, unless it is a stream's."""
        self.bytes = 0
        """Bytes."""
        self._slow: dict[Reader, _Slow] = {}
        """Who is slow for longest first."""
        self._held: dict[Reader, int] = {}
        self._looking = False

    def wait(self, reader: Reader, size: int) -> None:
        """Note that a reader has not taken so many bytes; others, or itself, may be cut off for it."""
        self.taken(reader)
        now = asyncio.get_running_loop().time()
        self._slow[reader] = _Slow(now, size)
        self.bytes += size
        if not self._looking:
            self._look()
        self._make_room(0, slow_since=now)

    def taken(self, reader: Reader) -> None:
        """Note that a reader has taken everything, or is gone."""
        slow = self._slow.pop(reader, None)
        if slow is not None:
            self.bytes -= slow.size

    @contextmanager
    def hold(self, reader: Reader, size: int) -> Iterator[None]:
        """Count an answer until it is sent."""
        self._held[reader] = size
        self.bytes += size
        try:
            yield
        finally:
            self._let_go(reader)

    def refuse_if_full(self, size: int) -> None:
        """Raise Overloaded if there is no room for an answer of so many bytes that was not begun yet."""
        self._make_room(size, slow_since=asyncio.get_running_loop().time() - GRACE_SECS)
        if self.bytes and self.bytes + size > self._most:
            events.overloaded(MAX_UNREAD)
            raise Overloaded(
                f"{self.bytes} bytes of answers wait for slow readers, and this one has {size} ({MAX_UNREAD});"
                " ask again later, or for less",
                limit=MAX_UNREAD,
                value=self._most,
            )

    def _make_room(self, size: int, *, slow_since: float) -> None:
        while self._slow and self.bytes + size > self._most:
            reader, slow = next(iter(self._slow.items()))
            if slow.since > slow_since:
                return
            self._cut_off(reader, MAX_UNREAD)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for reader in [reader for reader, slow in self._slow.items() if now - slow.since >= reader.stall_secs]:
            self._cut_off(reader, STALL)
        self._looking = bool(self._slow)
        if self._looking:
            loop.call_later(LOOK_SECS, self._look)

    def _cut_off(self, reader: Reader, why: str) -> None:
        self.taken(reader)
        self._let_go(reader)
        http_events.cut_off(why)
        reader.cut_off()

    def _let_go(self, reader: Reader) -> None:
        self.bytes -= self._held.pop(reader, 0)
