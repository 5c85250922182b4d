"""Failures of requests as RFC 9457 problem documents; never tells a caller our insides.

The stable part for clients is `code`. A mistake of ours becomes a bare 500 whose request id is in the log.
"""

import json
import math
from http import HTTPStatus
from random import Random
from typing import NamedTuple

import orjson

from gateway.core.errors import ClientError, GatewayError, SinkFault, Unavailable
from gateway.telemetry import events
from gateway.web.context import Context
from gateway.web.http.responses import PROBLEM, UNROUTED, Answer, to_bytes
from gateway.web.limits.decompress import READ

TYPE_PREFIX = "urn:device-gateway:problem:"
JITTER = 0.3
"""Retry-After varies by this share, so that clients turned away together do not come back together."""
UNAUTHORIZED, UNSUPPORTED, UPGRADE_REQUIRED = 401, 415, 426
INTERNAL = 500
RETRYABLE = (409, 429, 503)

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


class Problems:
    """Writes problems down."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def answer(self, problem: ProblemParts, request_id: str) -> Answer:
        """Return the problem document; it is counted."""
        retry_after = self._delay(problem)
        events.http_problem(problem.code)
        return Answer(
            _document(problem, request_id, retry_after), problem.status, _headers(problem, retry_after), PROBLEM
        )

    def unasked(self, context: Context, exc: GatewayError) -> bytes:
        """Return the same for a connection that no request was read from, in whole; it is the last on it."""
        request_id = context.request_ids.choose(None)
        answer = self.answer(to_parts(exc), request_id)
        events.http_answered(UNROUTED, answer.status)
        headers = {"x-request-id": request_id, **answer.headers}
        return to_bytes(answer.body, status=answer.status, headers=headers, content_type=answer.media, keep_alive=False)

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


def to_parts(exc: GatewayError) -> ProblemParts:
    """Say what went wrong in the words of the API."""
    return ProblemParts(exc.status, exc.code, exc.message, exc.details, exc.retry_after)


INTERNAL_PROBLEM = ProblemParts(
    INTERNAL, "internal", "The gateway failed; its log has the cause under this request id.", {}
)
TOO_LARGE_HEADERS = ProblemParts(431, "headers_too_large", "The request's headers are too large.", {})


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
