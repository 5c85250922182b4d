"""A connection that keeps pace with its reader: no more is written than is taken, nor read than is answered.

Large answers leave in pieces, each when the one before is gone and it is its turn. While something waits to be taken
the connection is not read either, so a client that asks on and on and never reads is not served on and on.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sanic.exceptions import RequestCancelled

from gateway.web.handlers.websocket_protocol import SocketWire
from gateway.web.limits.unread_answers import LARGE_BYTES, PIECE_BYTES
from gateway.web.server.bounded import BoundedConnection


class PacedConnection(BoundedConnection):
    """One connection."""

    __slots__ = ("stall_secs",)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stall_secs = self.context.unread.stall_secs
        """How long its reader may be slow."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; from now on we hear of every byte that waits to be taken."""
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Read nothing more from who has not taken what is written."""
        super().pause_writing()  # type: ignore[no-untyped-call]
        if self.transport is not None:
            self.transport.pause_reading()
            self.context.unread.wait(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on: everything is taken, or the connection is gone."""
        super().resume_writing()  # type: ignore[no-untyped-call]
        self.context.unread.taken(self)
        if self.websocket is not None:
            cast("SocketWire", self.websocket).resume_writing()
        elif self.is_deaf:
            self.drop_read(0)
        elif self.transport is not None and len(self.recv_buffer) < self.app.config.REQUEST_BUFFER_SIZE:
            self.transport.resume_reading()

    async def receive_more(self) -> None:
        """Wait for more, but not from who has not taken what is written."""
        size = len(self.recv_buffer)
        if not self.is_taken():
            await self.taken()
        if len(self.recv_buffer) == size:
            await super().receive_more()  # type: ignore[no-untyped-call]
        self.budget.begin_turn()

    async def send(self, data: bytes | memoryview) -> None:
        """Write, what is large in pieces, each when the one before is gone and in its turn. Raises RequestCancelled."""
        try:
            if len(data) <= LARGE_BYTES:
                await super().send(data)  # type: ignore[no-untyped-call]
                return
            view = memoryview(data)
            for start in range(0, len(view), PIECE_BYTES):
                piece = view[start : start + PIECE_BYTES]
                await self.taken()
                await self.budget.write(len(piece))
                await super().send(piece)  # type: ignore[no-untyped-call]
        except RequestCancelled:
            if self.http is not None:  # else Sanic keeps this one, which knows the frames that know it
                self.http.exception = RequestCancelled()
            raise

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Count an answer of so many bytes that is made for this reader alone, until it is sent."""
        with self.context.unread.hold(self, size):
            yield

    def take_unread(self) -> bytes:
        """Return what has come and nobody has read, which is the caller's now."""
        unread = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        self.count_unread()
        return unread

    def become_stream(self) -> None:
        """Leave it to `live` how long the reader may be slow."""
        self.stall_secs = math.inf

    def cut_off(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()
