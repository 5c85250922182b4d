"""Plain requests in, their answers out, without a coroutine and Sanic's request in between: half the cost of a request.

Only what can be taken from memory, whole, is taken here; anything in doubt goes Sanic's way, untouched, and gets the
same answer there. What a request does is not written twice: `intake`, `latest` and `problems` say it for both ways.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from sanic.compat import Header

from gateway.domain.model import Principal
from gateway.ingest.receipts import to_json
from gateway.telemetry import events, http_events
from gateway.web.context import Context
from gateway.web.handlers.newest import to_answer
from gateway.web.http.permissions import READERS, WRITERS
from gateway.web.http.responses import JSON, to_bytes
from gateway.web.limits.rate_limits import Visit
from gateway.web.ports import Underway
from gateway.web.server.parser import Plain
from gateway.web.server.request import AnyRequest
from gateway.web.server.sanic import App


class Send(Protocol):
    """Takes the answer, once."""

    def __call__(self, data: bytes, *, keep_alive: bool) -> None:
        """Without `keep_alive` it is the connection's last."""


_POSTS = "/v1/readings"
READINGS, DEVICE_READINGS, STATE = "readings", "device_readings", "device_state"
"""The routes' labels."""


UNLIMITED: Final = Visit()
"""Every request's where there are no limits."""


def begin(app: App, plain: Plain, peer: str, send: Send) -> "asyncio.Future[Any] | None":
    """Return what the answer waits for, if this whole request of a peer's can be served at once; else None.

    Cancelling it says that nobody wants the answer any more; then, and only then, `send` is not called.
    """
    context: Context = app.ctx.gateway
    principal = _sender(context, plain)
    if principal is None:
        return None
    visit = _visit(context, principal, plain, peer)
    if visit is None:
        return None
    exchange = Exchange(app, context, plain, visit, send)
    return exchange.post(principal) if plain.posts else exchange.ask()


def may_wait(app: App, plain: Plain, peer: str) -> bool:
    """Return whether the rest of a request may be awaited: nothing that is known now speaks against serving it."""
    context: Context = app.ctx.gateway
    if not context.intake.is_open or not context.bodies.has_room(len(plain.body) + plain.missing):
        return False
    principal = _sender(context, plain)
    return principal is not None and _visit(context, principal, plain, peer) is not None


def _sender(context: Context, plain: Plain) -> Principal | None:
    """Return who sent it, if that is known, and who may do what it asks for."""
    principal = context.authenticator.principal(plain.authorization)
    if principal is None or context.draining:
        return None
    access = WRITERS if plain.posts else READERS
    return principal if access.allows(principal, plain.device) else None


def _visit(context: Context, principal: Principal, plain: Plain, peer: str) -> Visit | None:
    """Return who pays for it, None if a limit is used up; it is not counted yet."""
    if context.limits is None:
        return UNLIMITED
    size = len(plain.body) + plain.missing if plain.posts else None
    return context.limits.look(principal, plain.authorization, peer, plain.hops, size=size)


class Exchange:
    """One plain request and its answer."""

    __slots__ = ("_app", "_context", "_plain", "_send", "_visit")

    def __init__(self, app: App, context: Context, plain: Plain, visit: Visit, send: Send) -> None:
        self._app = app
        self._context = context
        self._plain = plain
        self._visit = visit
        self._send = send

    def post(self, principal: Principal) -> "asyncio.Future[Any] | None":
        """Take readings in."""
        device, body = self._plain.device, self._plain.body
        bodies = self._context.bodies
        if not bodies.has_room(len(body)) or not self._context.turns.is_free(len(body)):
            return None
        underway = self._context.intake.at_once(body, principal=principal, device=device)
        if underway is None:
            return None
        self._count(underway)
        bodies.in_hand += len(body)
        underway.ticket.add_done_callback(lambda ticket: self._committed(ticket, underway))
        return underway.ticket

    def ask(self) -> "asyncio.Future[Any]":
        """Ask for the state of a device."""
        self._count(None)
        future = self._context.live.soon(str(self._plain.device))
        future.add_done_callback(self._read)
        return future

    def _count(self, underway: Underway | None) -> None:
        limits = self._context.limits
        if limits is not None:
            limits.enter(self._visit, None if underway is None else underway.readings)

    def _committed(self, ticket: "asyncio.Future[Any]", underway: Underway) -> None:
        self._context.bodies.in_hand -= len(self._plain.body)
        label = READINGS if self._plain.device is None else DEVICE_READINGS
        if ticket.cancelled():
            underway.abandon()
            http_events.gone(label)
            return
        try:
            receipt = underway.receipt()
        except Exception as exc:  # noqa: BLE001 - whatever it is, `problems` says it
            self._fail(exc, _POSTS if self._plain.device is None else f"/v1/devices/{self._plain.device}/readings")
        else:
            self._answer(label, to_json(receipt), status=receipt.status)

    def _read(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            http_events.gone(STATE)
            return
        device, tag = str(self._plain.device), self._plain.if_none_match
        now_us = self._context.clock.now_us()
        try:
            answer = to_answer(device, future.result(), None, () if tag is None else (tag,), now_us=now_us)
        except Exception as exc:  # noqa: BLE001 - as above
            self._fail(exc, f"/v1/devices/{device}/state")
        else:
            self._answer(STATE, answer.body, status=answer.status, headers=answer.headers)

    def _answer(self, label: str, body: bytes, *, status: int, headers: Mapping[str, str] | None = None) -> None:
        said = {"x-request-id": self._context.request_ids.choose(self._plain.request_id)}
        if headers:
            said |= headers
        limits = self._context.limits
        if limits is not None:
            said |= limits.tell(self._visit)
        events.http_answered(label, status)
        self._give(body, status, said)

    def _fail(self, exc: Exception, path: str) -> None:
        """Answer with the problem that Sanic's way would answer with."""
        method = "POST" if self._plain.posts else "GET"
        offered = Header({} if self._plain.request_id is None else {"x-request-id": self._plain.request_id})
        request = AnyRequest(path.encode(), offered, "1.1", method, None, self._app)
        request.began = None  # the connection tells it
        request.ctx.visit = self._visit
        request.route, _, _ = self._app.router.get(path, method, None)
        answer = self._app.error_handler.response(request, exc)  # type: ignore[no-untyped-call]
        self._give(answer.body, answer.status, dict(answer.headers.items()), content_type=str(answer.content_type))

    def _give(self, body: bytes, status: int, headers: Mapping[str, str], *, content_type: str = JSON) -> None:
        keep_alive = not self._context.draining
        answer = to_bytes(body, status=status, headers=headers, content_type=content_type, keep_alive=keep_alive)
        self._send(answer, keep_alive=keep_alive)
