"""Exceptions in, RFC 9457 problem documents out. Knows every way a request can fail; never tells a caller our insides.

The stable part for clients is `code`. A mistake of ours becomes a bare 500 whose request id is in the log.
"""

import asyncio
import json
import math
from contextlib import suppress
from http import HTTPStatus
from random import Random
from typing import NamedTuple

import orjson
from sanic import HTTPResponse, Request
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, RequestCancelled, SanicException
from sanic.handlers import ErrorHandler
from sanic.http import Http as Stream

from gateway.core.errors import ClientError, Draining, GatewayError, SinkFault, Unavailable
from gateway.telemetry import events, http_events
from gateway.web.context import Context, context_of
from gateway.web.http.responses import UNROUTED, reply, route_label, to_bytes
from gateway.web.limits.body_budget import is_here, too_large
from gateway.web.limits.decompress import READ

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:device-gateway:problem:"
LINGER_SECS = 5.0
"""How long the rest of a refused body is read and dropped, so that the answer is not lost in a reset."""
JITTER = 0.3
"""Retry-After varies by this share, so that clients turned away together do not come back together."""
UNAUTHORIZED, UNSUPPORTED, UPGRADE_REQUIRED = 401, 415, 426
HEADERS_TOO_LARGE, GONE, INTERNAL = 431, 499, 500
RETRYABLE = (409, 429, 503)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

SANIC_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    503: "timeout",
}
"""What Sanic itself refuses, by status."""

OWN_CODES = ("headers_too_large", GatewayError.code)


class ProblemParts(NamedTuple):
    """A problem before it is written down."""

    status: int
    code: str
    detail: str
    details: dict[str, object]
    retry_after: float | None = None
    allow: str | None = None


class Problems(ErrorHandler):
    """Sanic's error handler: everything that is raised while serving a request ends here."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def response(self, request: Request, exception: BaseException) -> HTTPResponse:
        """Return the problem document; called by Sanic for every exception, its own included."""
        if isinstance(exception, RequestCancelled):
            if not request.responded:  # an answer that was on its way is counted already
                http_events.gone(route_label(request))
            return HTTPResponse(status=GONE)  # to nobody
        context = context_of(request)
        problem = to_problem(request, exception, context)
        answer = reply(request, context, b"", status=problem.status, content_type=CONTENT_TYPE)
        request_id = answer.headers["x-request-id"]
        retry_after = self._delay(problem)
        answer.headers.update(_headers(problem, retry_after))
        answer.body = _document(problem, request_id, retry_after)
        _linger(request.stream)
        events.http_problem(problem.code)
        if problem.status == INTERNAL and isinstance(exception, Exception):
            events.http_failed(route_label(request), request_id, exception)
        return answer

    def unasked(self, context: Context, exc: GatewayError) -> bytes:
        """Return the same for a connection that no request was read from, in whole; it is the last on it."""
        request_id = context.request_ids.choose(None)
        problem = ProblemParts(exc.status, exc.code, exc.message, exc.details, exc.retry_after)
        retry_after = self._delay(problem)
        events.http_problem(problem.code)
        events.http_answered(UNROUTED, problem.status)
        return to_bytes(
            _document(problem, request_id, retry_after),
            status=problem.status,
            headers={"x-request-id": request_id, **_headers(problem, retry_after)},
            content_type=CONTENT_TYPE,
            keep_alive=False,
        )

    def _delay(self, problem: ProblemParts) -> float | None:
        if problem.retry_after is None or problem.status not in RETRYABLE:
            return None
        if "retry_after_ms" in problem.details:  # a rate limit knows when there is room, and for each caller apart
            return problem.retry_after
        return problem.retry_after * self._random.uniform(1 - JITTER, 1 + JITTER)


def codes() -> set[str]:
    """Return every code that an answer may have."""
    return {*OWN_CODES, *SANIC_CODES.values(), SinkFault.code, *_codes(ClientError), *_codes(Unavailable)}


def _codes(kind: type[GatewayError]) -> set[str]:
    return {kind.code}.union(*[_codes(child) for child in kind.__subclasses__()])


def to_problem(request: Request, exc: BaseException, context: Context) -> ProblemParts:
    """Say what went wrong in the words of the API."""
    if isinstance(exc, GatewayError):
        return ProblemParts(exc.status, exc.code, exc.message, exc.details, exc.retry_after)
    if isinstance(exc, PayloadTooLarge):
        return _too_large(request, context)
    if isinstance(exc, asyncio.CancelledError) and context.draining:
        return to_problem(request, Draining(), context)
    if isinstance(exc, SanicException) and exc.status_code in SANIC_CODES:
        return _of_sanic(request, exc)
    return ProblemParts(INTERNAL, "internal", "The gateway failed; its log has the cause under this request id.", {})


def _too_large(request: Request, context: Context) -> ProblemParts:
    if request.route is None:  # Sanic raises the same for headers, which it never finished reading
        return ProblemParts(HEADERS_TOO_LARGE, "headers_too_large", "The request's headers are too large.", {})
    error = too_large(context.http)
    return ProblemParts(error.status, error.code, error.message, error.details)


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


def _document(problem: ProblemParts, request_id: str, retry_after: float | None) -> bytes:
    document: dict[str, object] = dict(problem.details)
    if retry_after is not None:
        document["retry_after"] = round(retry_after, 3)
    document |= {
        "type": TYPE_PREFIX + problem.code,
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    try:
        return orjson.dumps(document, default=str)
    except TypeError:  # header bytes outside ASCII reach us as lone surrogates, which no JSON may hold
        return json.dumps(document, default=str, ensure_ascii=False).encode(errors="replace")


def _headers(problem: ProblemParts, retry_after: float | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    if retry_after is not None:
        headers["retry-after"] = str(math.ceil(retry_after))
    if problem.status == UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if problem.status == UNSUPPORTED:
        accepted = str(problem.details.get("accepted", "application/json"))
        headers |= {"accept-post": accepted, "accept-encoding": ", ".join(READ)}
    if problem.status == UPGRADE_REQUIRED:  # RFC 9110 15.5.22, RFC 6455 4.4
        headers |= {"upgrade": "websocket", "sec-websocket-version": "13"}
    if problem.allow:
        headers["allow"] = problem.allow
    return headers


def _linger(stream: object) -> None:
    """Let a client that is still sending hear the answer: drop what comes for a while, then close (RFC 9112 9.6).

    A body that has arrived in full needs none of this: Sanic drops it and the connection is used again.
    """
    if not isinstance(stream, Stream) or not stream.request_body or is_here(stream):
        return
    stream.keep_alive = False
    stream.expecting_continue = False  # 100 would invite the body that was just refused
    stream.request_max_size = stream.protocol.request_max_size = math.inf
    asyncio.get_running_loop().call_later(LINGER_SECS, stream.protocol.close)
