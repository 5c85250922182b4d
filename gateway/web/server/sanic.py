"""Sanic, which serves the operations: its requests become calls, answers its responses, failures problems."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from http import HTTPStatus
from random import SystemRandom
from types import SimpleNamespace
from typing import Any, cast

from sanic import HTTPResponse, Request, Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.config import Config
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, RequestCancelled, SanicException
from sanic.handlers import ErrorHandler
from sanic.http.constants import HTTP

from gateway.core.errors import BadPayload, Draining, GatewayError
from gateway.telemetry import events, http_events
from gateway.web.context import Context
from gateway.web.http.call import Acquaintance, Call, Operation
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
from gateway.web.http.responses import Answer, Gone, Stream
from gateway.web.limits.body_budget import too_large
from gateway.web.limits.rate_limits import Visit
from gateway.web.limits.unread_answers import PIECE_BYTES
from gateway.web.operations import OPERATIONS
from gateway.web.server.chunks import MAX_SMALL
from gateway.web.server.paths import to_sanic
from gateway.web.server.sanic_connection import SanicBody, SanicLink, SanicWire, context_of, reply, route_label
from gateway.web.server.sanic_http import AnyRequest, SmallChunks

App = Sanic[Config, SimpleNamespace]

GONE = 499
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def new_app(name: str, settings: Mapping[str, object]) -> App:
    """Return an app of this name with a route for every operation; Sanic's SANIC_* environment is not read."""
    config = Config(env_prefix=None)
    config.update(settings)
    app: App = Sanic(
        name, config=config, error_handler=Failures(SystemRandom()), request_class=AnyRequest, configure_logging=False
    )
    app.state.server_info.append(ApplicationServerInfo({"version": HTTP.VERSION_1}))  # else it sends an empty Alt-Svc
    app.enable_websocket()
    for one in OPERATIONS:
        app.add_route(
            _handler(one),
            to_sanic(app.router, one),
            methods=["GET", "HEAD"] if one.method == "GET" else [one.method],
            name=one.label,
            ignore_body=True,  # what is read of a body is read under our caps
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
        if request.transport is not None:
            call.connection = cast("Acquaintance", request.transport.get_protocol())
        if operation.upgrades and request.transport is not None:
            call.link = SanicLink(request)
        answer = await dispatch(call, context)
        if isinstance(answer, Answer):
            return reply(request, context, _admitted(answer, context))
        if answer is not None:
            await _write(request, context, answer)
        return None

    if operation.upgrades:  # Sanic expects no response then; its own kind would shake hands before anything is checked
        handle.is_websocket = True  # type: ignore[attr-defined]
    return handle


def _admitted(answer: Answer, context: Context) -> Answer:
    """Return the answer with its content as bytes. Raises Overloaded if it is large and slow readers leave no room."""
    body = answer.body
    if len(body) > PIECE_BYTES and not answer.is_shared:
        context.unread.refuse_if_full(len(body))
    return answer._replace(content=body)


async def _write(request: Request, context: Context, stream: Stream) -> None:
    try:
        await stream.write(SanicWire(request, context, stream))
    except Gone as exc:
        raise RequestCancelled from exc


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
        if problem.status == INTERNAL and isinstance(exception, Exception):
            events.http_failed(route_label(request), request_id, exception)
        return response


def to_problem(request: Request, exc: BaseException, context: Context) -> ProblemParts:
    """Say what went wrong in the words of the API."""
    if isinstance(exc, GatewayError):
        return to_parts(exc)
    if isinstance(exc, SmallChunks):
        return to_parts(BadPayload(str(exc), limit="chunks", value=MAX_SMALL))
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
