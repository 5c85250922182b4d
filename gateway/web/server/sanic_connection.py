"""What a Sanic request comes on: its body as it arrives, and what answers and streams are sent by.

The one place where X-Request-Id is set and requests are counted.
"""

import asyncio
import math
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sanic import HTTPResponse, Request
from sanic.exceptions import RequestCancelled
from sanic.http import Http

from gateway.telemetry import events, http_events
from gateway.web.context import Context
from gateway.web.handlers.websocket_protocol import SocketWire
from gateway.web.http.responses import BODILESS, UNROUTED, Answer, Gone, Stream
from gateway.web.limits.body_budget import CHUNKED
from gateway.web.limits.connection_budget import ConnectionBudget
from gateway.web.limits.rate_limits import Visit

_RESET = struct.pack("ii", 1, 0)
"""socket(7): close at once, and throw away what was not sent."""


def context_of(request: Request) -> Context:
    """Return the context of the app that serves this request."""
    context: Context = request.app.ctx.gateway
    return context


def route_label(request: Request) -> str:
    """Return the label of the operation that a request is for."""
    route = request.route
    return UNROUTED if route is None else route.ctx.label


class Reply(HTTPResponse):
    """A response whose header values are ours, so that none needs cleaning: that takes Sanic 10 of 60 µs a request.

    The only value from outside is the request id, which `RequestIds` lets through only if it is printable ASCII.
    """

    is_shared = False
    """Whether what it holds stands in memory anyway, however many are sent it."""

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """Header names and values as they are sent."""
        if self.status not in BODILESS:
            self.headers.setdefault("content-type", self.content_type)
        return ((name.encode("ascii"), str(value).encode("ascii")) for name, value in self.headers.items())


def reply(request: Request, context: Context, answer: Answer) -> Reply:
    """Return the response; while draining its connection ends with it."""
    response = Reply(answer.body, answer.status, content_type=answer.media)
    response.is_shared = answer.is_shared
    response.headers["x-request-id"] = context.request_ids.choose(request.headers.getone("x-request-id", None))
    response.headers.update(answer.headers)
    visit: Visit | None = getattr(request.ctx, "visit", None)
    if context.limits is not None and visit is not None:
        response.headers.update(context.limits.tell(visit))
    if context.draining and isinstance(request.stream, Http):
        request.stream.keep_alive = False
    label = route_label(request)
    events.http_answered(label, answer.status)
    began: float | None = getattr(request, "began", None)
    if began is not None:
        http_events.answered(label, time.monotonic() - began)
    return response


class SanicBody:
    """The body of a request."""

    __slots__ = ("_stream",)

    def __init__(self, stream: object) -> None:
        self._stream: Any = stream if isinstance(stream, Http) else None

    @property
    def has_more(self) -> bool:
        """Whether there is something to read."""
        return self._stream is not None and bool(self._stream.request_body)

    @property
    def declared(self) -> int | None:
        """Bytes of it that were not read yet; None if they are not declared."""
        if not self.has_more:
            return 0
        return None if self._stream.request_body == CHUNKED else self._stream.request_bytes_left

    @property
    def is_here(self) -> bool:
        """Whether the rest of a body of declared length has arrived already."""
        declared = self.declared
        return declared is not None and (not declared or len(self._stream.recv_buffer) >= declared)

    async def read(self) -> bytes | None:
        """Return the next bytes, as they come."""
        part: bytes | None = await self._stream.read()
        return part


class SanicWire:
    """The connection of a request whose answer is a stream."""

    def __init__(self, request: Request, context: Context, stream: Stream) -> None:
        self._request = request
        self._context = context
        self._stream = stream
        self._response: HTTPResponse
        self.request_id = ""
        self.head_only = request.method == "HEAD"

    async def begin(self) -> None:
        """Send the head of the answer; to HEAD without a length, since that is not known (RFC 9110 8.6)."""
        request, stream = self._request, self._stream
        self._response = reply(request, self._context, Answer(headers=stream.headers, media=stream.media))
        self.request_id = self._response.headers["x-request-id"]
        if stream.endless and isinstance(request.stream, Http):
            request.stream.keep_alive = False
            connection = cast("Any", request.stream.protocol)
            connection.response_timeout = math.inf  # a stream ends when its reader does
            connection.become_stream()
        await request.respond(self._response)
        if self.head_only:
            await self._response.send(b"", end_stream=False)
            await self._response.send(end_stream=True)

    async def send(self, data: bytes) -> None:
        """Return when the connection has room. Raises Gone."""
        with _noticing():
            await self._response.send(data)

    async def end(self) -> None:
        """Say that the answer is complete. Raises Gone."""
        with _noticing():
            await self._response.send(end_stream=True)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._request.transport is not None:
            cast("asyncio.Transport", self._request.transport).abort()

    def reset(self) -> None:
        """Reset it: over HTTP/1.0, without chunks, the end of the connection would be the end of the answer."""
        if self._request.transport is not None:
            plug: socket.socket = self._request.transport.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.abort()


class SanicLink:
    """The connection of a request that will be a WebSocket."""

    def __init__(self, request: Request) -> None:
        self.transport = cast("asyncio.Transport", request.transport)
        self._connection = cast("Any", self.transport.get_protocol())  # Sanic's, which is not typed
        self.budget: ConnectionBudget = self._connection.budget

    def attach(self, wire: SocketWire) -> bytes:
        """Give what arrives, and its end, to the socket from now on; return what came before."""
        self._connection.websocket = wire
        self._connection.become_stream()
        unread: bytes = self._connection.take_unread()
        return unread

    async def send(self, data: bytes) -> None:
        """Return when the connection has room. Raises Gone."""
        with _noticing():
            await self._connection.send(data)


@contextmanager
def _noticing() -> Iterator[None]:
    try:
        yield
    except RequestCancelled as exc:
        raise Gone from exc
