"""Bytes of one connection in, answers out: plain requests are served on the spot, everything else is Sanic's.

A plain request begins when Sanic waits for one and nothing of it has come. Until it is answered, what else comes is
kept; then Sanic goes on with that. So the order of answers is the order of requests (RFC 9112 9.3.2), whoever serves.
"""

import asyncio
import socket
import time
from functools import partial
from typing import Any

from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.web.accepting import take_waiting
from gateway.web.express import begin
from gateway.web.plain import Reader


class Connection(WebSocketProtocol):
    """One HTTP connection, or a WebSocket that began as one."""

    __slots__ = ("_more", "_reader", "_underway")

    def __init__(self, *, more: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._more = partial(type(self), more=False, **kwargs) if more else None
        self._reader = Reader()
        self._underway: asyncio.Future[Any] | None = None
        """What the answer to a plain request waits for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and take in those who wait behind this one."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        if self._more is not None:
            listening: socket.socket = self.app.state.server_info[0].settings["sock"]
            take_waiting(self.loop, listening, self._more, share=self.app.ctx.gateway.http.workers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        if self._underway is not None:
            self._underway.cancel()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Serve a plain request, keep what comes before its answer, leave the rest to Sanic."""
        if self._underway is not None:
            self._keep(data)
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
        underway = begin(self.app, self._reader, data, self._answer)
        if underway is None:
            return False
        self._underway = underway
        self._http.stage = Stage.HANDLER  # not idle: a stopping server waits for the answer
        self._time = time.monotonic()
        return True

    def _keep(self, data: bytes) -> None:
        self.recv_buffer += data
        if self.transport is not None and len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE:
            self.transport.pause_reading()  # until Sanic asks for more

    def _answer(self, data: bytes, *, keep_alive: bool) -> None:
        self._underway = None
        if self.transport is None or self.transport.is_closing() or self.http is None:
            return
        self.transport.write(data)
        self._time = time.monotonic()
        self._http.stage = Stage.IDLE
        if not keep_alive:
            self.close()
        elif self.recv_buffer:
            self._data_received.set()
