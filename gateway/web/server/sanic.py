"""Sanic, which serves the operations: its requests become calls, answers its responses, failures problems.

The one place where X-Request-Id is set and requests are counted.
"""

import asyncio
import math
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from random import SystemRandom
from types import SimpleNamespace
from typing import Any, cast

from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, RequestCancelled, SanicException
from sanic.handlers import ErrorHandler
from sanic.http import Http

from gateway.core.errors import Draining, GatewayError
from gateway.telemetry import events, http_events
from gateway.web.context import Context
from gateway.web.handlers.websocket_protocol import SocketWire
from gateway.web.http.call import Call, Operation
from gateway.web.http.dispatch import dispatch
from gateway.web.http.problems import (
    INTERNAL,
    INTERNAL_PROBLEM,
    RETRYABLE,
    SANIC_CODES,
    TOO_LARGE_HEADERS,
    ProblemParts,
    Problems,
    to_parts,
)
from gateway.web.http.responses import BODILESS, UNROUTED, Answer, Gone, Stream
from gateway.web.limits.body_budget import CHUNKED, too_large
from gateway.web.limits.rate_limits import Visit
from gateway.web.operations import OPERATIONS
from gateway.web.server.paths import to_sanic
from gateway.web.server.request import AnyRequest

App = Sanic[Config, SimpleNamespace]

LINGER_SECS = 5.0
"""How long the rest of a refused body is read and dropped, so that the answer is not lost in a reset."""
GONE = 499
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_RESET = struct.pack("ii", 1, 0)
"""socket(7): close at once, and throw away what was not sent."""


def new_app(name: str, settings: Mapping[str, object]) -> App:
    """Return an app of this name with a route for every operation; Sanic's SANIC_* environment is not read."""
    config = Config(env_prefix=None)
    config.update(settings)
    app: App = Sanic(
        name,
        config=config,
        error_handler=Failures(SystemRandom()),
        request_class=AnyRequest,
        configure_logging=False,
    )
    app.enable_websocket()
    for one in OPERATIONS:
        app.add_route(
            _handler(one),
            to_sanic(app.router, one),
            methods=["GET", "HEAD"] if one.method == "GET" else [one.method],
            name=one.label,
            ignore_body=one.body is not None,
            ctx_label=one.label,
        )
    return app


def _handler(operation: Operation) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    async def handle(request: Request, **values: Any) -> HTTPResponse | None:
        context = context_of(request)
        values.pop("call", None)  # the segment of a verb
        call: Call[Any, Any] = Call(
            operation=operation,
            path=values,
            query_string=request.query_string,
            url=request.raw_url,
            headers=request.headers,
            peer=request.ip,
            incoming=SanicBody(request.stream),
        )
        if context.limits is not None:
            call.visit = request.ctx.visit = Visit()
        if operation.upgrades and request.transport is not None:
            call.link = SanicLink(request)
        answer = await dispatch(call, context)
        if isinstance(answer, Answer):
            return reply(request, context, answer)
        if answer is not None:
            await _write(request, context, answer)
        return None

    if operation.upgrades:  # Sanic expects no response then; its own kind would shake hands before anything is checked
        handle.is_websocket = True  # type: ignore[attr-defined]
    return handle


async def _write(request: Request, context: Context, stream: Stream) -> None:
    try:
        await stream.write(SanicWire(request, context, stream))
    except Gone as exc:
        raise RequestCancelled from exc


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

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """Header names and values as they are sent."""
        if self.status not in BODILESS:
            self.headers.setdefault("content-type", self.content_type)
        return ((name.encode("ascii"), str(value).encode("ascii")) for name, value in self.headers.items())


def reply(request: Request, context: Context, answer: Answer) -> Reply:
    """Return the response; while draining its connection ends with it."""
    response = Reply(answer.body, answer.status, content_type=answer.media)
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
            request.stream.protocol.response_timeout = math.inf  # a stream ends when its reader does
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

    def attach(self, wire: SocketWire) -> None:
        """Give what arrives, and its end, to the socket from now on."""
        self._connection.websocket = wire

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


class Failures(Problems, ErrorHandler):
    """Sanic's error handler: everything that is raised while serving a request ends here."""

    def response(self, request: Request, exception: BaseException) -> HTTPResponse:
        """Return the problem document; called by Sanic for every exception, its own included."""
        if isinstance(exception, RequestCancelled):
            if not request.responded:  # an answer that was on its way is counted already
                http_events.gone(route_label(request))
            return HTTPResponse(status=GONE)  # to nobody
        context = context_of(request)
        problem = to_problem(request, exception, context)
        response = reply(request, context, Answer(status=problem.status))
        request_id = response.headers["x-request-id"]
        answer = self.answer(problem, request_id)
        response.headers.update(answer.headers)
        response.body, response.content_type = answer.body, answer.media
        _linger(request.stream)
        if problem.status == INTERNAL and isinstance(exception, Exception):
            events.http_failed(route_label(request), request_id, exception)
        return response


def to_problem(request: Request, exc: BaseException, context: Context) -> ProblemParts:
    """Say what went wrong in the words of the API."""
    if isinstance(exc, GatewayError):
        return to_parts(exc)
    if isinstance(exc, PayloadTooLarge):  # Sanic raises the same for headers, which it never finished reading
        return TOO_LARGE_HEADERS if request.route is None else to_parts(too_large(context.http))
    if isinstance(exc, asyncio.CancelledError) and context.draining:
        return to_parts(Draining())
    if isinstance(exc, SanicException) and exc.status_code in SANIC_CODES:
        return _of_sanic(request, exc)
    return INTERNAL_PROBLEM


def _of_sanic(request: Request, exc: SanicException) -> ProblemParts:
    allow = _allowed(request) if isinstance(exc, MethodNotAllowed) else None
    status = exc.status_code
    retry_after = 1.0 if status in RETRYABLE else None
    return ProblemParts(status, SANIC_CODES[status], HTTPStatus(status).description or str(exc), {}, retry_after, allow)


def _allowed(request: Request) -> str:
    """Return the methods that an address has; Sanic knows only some of them where each has a handler of its own."""
    return ", ".join([method for method in METHODS if _is_routed(request, method)])


def _is_routed(request: Request, method: str) -> bool:
    with suppress(SanicException):
        return bool(request.app.router.get(request.path, method, None))
    return False


def _linger(stream: object) -> None:
    """Let a client that is still sending hear the answer: drop what comes for a while, then close (RFC 9112 9.6).

    A body that has arrived in full needs none of this: Sanic drops it and the connection is used again.
    """
    body = SanicBody(stream)
    if not isinstance(stream, Http) or not body.has_more or body.is_here:
        return
    stream.keep_alive = False
    stream.expecting_continue = False  # 100 would invite the body that was just refused
    stream.request_max_size = stream.protocol.request_max_size = math.inf
    asyncio.get_running_loop().call_later(LINGER_SECS, stream.protocol.close)
