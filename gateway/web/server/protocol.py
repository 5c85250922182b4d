"""Bytes of one connection in, answers out: plain requests are served on the spot, everything else is Sanic's.

A plain request begins when Sanic waits for one and nothing of it has come. While the rest of its body is missing, what
is here lies in Sanic's buffer, and Sanic is not told; in any doubt it is, and reads the same bytes from the first on.
Until a plain request is answered, what else comes is kept; then Sanic goes on with that. So the order of answers is the
order of requests (RFC 9112 9.3.2), whoever serves.
"""

import asyncio
import socket
import time
from functools import partial
from typing import Any, cast

from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.telemetry import events
from gateway.telemetry.http_events import INGEST, STATE, took
from gateway.web.context import Context
from gateway.web.http.problems import Problems
from gateway.web.limits.connections import STANDING_SECS, is_probe
from gateway.web.limits.partial_requests import Arriving
from gateway.web.server.accept import take_waiting
from gateway.web.server.fast_path import begin, may_wait
from gateway.web.server.http1 import Http1
from gateway.web.server.parser import Plain, Reader


class Connection(WebSocketProtocol):
    """One HTTP connection, or a WebSocket that began as one."""

    HTTP_CLASS = Http1

    __slots__ = ("_group", "_is_standing", "_is_told", "_missing", "_more", "_peer", "_reader", "_underway")

    def __init__(self, *, more: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._more = partial(type(self), more=False, **kwargs) if more else None
        self._peer = ""
        """The address of who is at the other end."""
        self._reader = Reader()
        self._is_standing = False
        """Whether it came when all seats were taken, and has not said yet that it is a probe."""
        self._is_told = False
        self._missing = 0
        """Bytes without which a plain request is not whole; 0 if none is waited for."""
        self._underway: asyncio.Future[Any] | None = None
        """What the answer to a plain request waits for."""
        self._group = INGEST
        """Of the route of that request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless too many have, and take in those who wait behind this one."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        events.http_connected(len(self.connections))
        if self._context.crowd.is_full(len(self.connections)):
            self._is_standing = True
            self._context.crowd.stand(self)
            self.loop.call_later(STANDING_SECS, self._leave)
        if self.conn_info is not None:
            self._peer = self.conn_info.client_ip
        if self._more is not None:
            listening: socket.socket = self.app.state.server_info[0].settings["sock"]
            take_waiting(self.loop, listening, self._more, share=self._context.http.workers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        self._context.crowd.leave(self)
        if self._missing:
            self._release()
        if self._underway is not None:
            self._underway.cancel()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        events.http_connected(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Serve a plain request, keep what comes before its answer, leave the rest to Sanic."""
        if self._underway is not None:
            self._keep(data)
        elif self._missing:
            self._add(data)
        elif self._is_standing:
            self._ask(data)
        elif not (self._is_between_requests() and self._begin(data)):
            super().data_received(data)  # type: ignore[no-untyped-call]

    def _is_between_requests(self) -> bool:
        """Whether Sanic waits for the first byte of a request, and an answer can be written at once."""
        http = self.http
        return (
            http is not None
            and http.stage is Stage.IDLE
            and http.request is None
            and not self.recv_buffer
            and self.websocket is None
            and not self.access_log
            and self._can_write.is_set()
        )

    def _begin(self, data: bytes) -> bool:
        plain = self._reader.read(data)
        if plain is None:
            return False
        if plain.missing:
            return self._hold(plain, data)
        underway = begin(self.app, plain, self._peer, self._answer)
        if underway is None:
            return False
        self._group = INGEST if plain.posts else STATE
        self._underway = underway
        self._http.stage = Stage.HANDLER  # not idle: a stopping server waits for the answer
        self._time = time.monotonic()
        return True

    def _hold(self, plain: Plain, data: bytes) -> bool:
        """Keep the beginning of a request until the rest is here, unless that is too much, or somebody must be told."""
        if len(data) + plain.missing >= self.app.config.REQUEST_BUFFER_SIZE:
            return False
        if not (may_wait(self.app, plain, self._peer) and self._arriving.hold(self, len(data))):
            return False
        self._missing = plain.missing
        self._http.stage = Stage.REQUEST  # not idle, as above
        self._time = time.monotonic()
        self.recv_buffer += data
        return True

    def _add(self, data: bytes) -> None:
        """Take in some more of a request that is held: it may be whole now, or more than that."""
        self.recv_buffer += data
        missing = self._missing - len(data)
        if missing > 0 and self._arriving.hold(self, len(data)):
            self._missing = missing
            return
        whole = self._release()
        if missing or not self._begin(whole):
            super().data_received(whole)  # type: ignore[no-untyped-call]

    def let_go(self) -> None:
        """Hand to Sanic what is held of a request: its rest takes too long."""
        super().data_received(self._release())  # type: ignore[no-untyped-call]

    def _release(self) -> bytes:
        """Hold nothing any more, and return what was held."""
        self._arriving.leave(self)
        self._missing = 0
        held = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        if self.http is not None:
            self.http.stage = Stage.IDLE
        return held

    @property
    def _context(self) -> Context:
        context: Context = self.app.ctx.gateway
        return context

    @property
    def _arriving(self) -> Arriving:
        return self._context.arriving

    def _ask(self, data: bytes) -> None:
        if is_probe(data):
            self._is_standing = False
            super().data_received(data)  # type: ignore[no-untyped-call]
        else:  # what comes after that is dropped, so that the answer is not lost in a reset
            self._tell()

    def show_out(self) -> None:
        """Close it, as others want to say what they want."""
        if self._is_standing:
            self._tell()
        self.close()

    def _tell(self) -> None:
        """Say once why it is not served."""
        if self._is_told:
            return
        self._is_told = True
        if self.transport is not None and not self.transport.is_closing():
            problems = cast("Problems", self.app.error_handler)
            self.transport.write(problems.unasked(self._context, self._context.crowd.turned_away()))
            self.transport.write_eof()

    def _leave(self) -> None:
        if self._is_standing:
            self._tell()
        if not self.close_if_idle():  # type: ignore[no-untyped-call]
            self.loop.call_later(STANDING_SECS, self._leave)

    def _keep(self, data: bytes) -> None:
        self.recv_buffer += data
        if self.transport is not None and len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE:
            self.transport.pause_reading()  # until Sanic asks for more

    def _answer(self, data: bytes, *, keep_alive: bool) -> None:
        self._underway = None
        now = time.monotonic()
        took(self._group, now - self._time)
        if self.transport is None or self.transport.is_closing() or self.http is None:
            return
        self.transport.write(data)
        self._time = now
        self._http.stage = Stage.IDLE
        if not keep_alive:
            self.close()
        elif self.recv_buffer:
            self._data_received.set()
