"""The fast path: requests that are answered from memory, without a coroutine and Sanic's request: half their cost.

Only what can be taken whole is taken here; anything in doubt goes Sanic's way, untouched, and gets the same answer
there. What a request does is not written twice: `intake`, `newest`, `permissions` and `problems` say it for both ways.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from gateway.domain.principal import Principal
from gateway.ingest.receipts import to_json
from gateway.telemetry import events, http_events
from gateway.web.context import Context
from gateway.web.handlers.newest import to_answer
from gateway.web.http.responses import JSON, to_bytes
from gateway.web.limits.rate_limits import Visit
from gateway.web.operations import BY_LABEL
from gateway.web.ports import HttpPending
from gateway.web.server.head import DirectRequest, Head
from gateway.web.server.sanic import App
from gateway.web.server.sanic_http import to_request


class Send(Protocol):
    """Takes the answer, once."""

    def __call__(self, data: bytes, *, keep_alive: bool) -> None:
        """Without `keep_alive` it is the connection's last."""


READINGS, DEVICE_READINGS, STATE = "readings", "device_readings", "device_state"
"""The routes' labels."""
UNLIMITED: Final = Visit()
"""Every request's where there are no limits."""


def open_exchange(app: App, head: Head, peer: str, send: Send) -> "Exchange | None":
    """Return a peer's exchange, if its request is direct and who sent it is known and may do that; None: ask Sanic."""
    request = head.direct
    if request is None:
        return None
    context: Context = app.ctx.gateway
    principal = context.authenticator.principal(request.authorization)
    if principal is None or context.draining:
        return None
    operation = BY_LABEL[READINGS if request.is_post else STATE]
    if not operation.access.allows(principal, request.device):
        return None
    return Exchange(app, head, request, Caller(principal, peer), send)


class Caller(NamedTuple):
    """Who sends a request."""

    principal: Principal
    peer: str


class Exchange:
    """One direct request and its answer."""

    __slots__ = ("_app", "_caller", "_context", "_head", "_send", "_visit", "length", "request")

    def __init__(self, app: App, head: Head, request: DirectRequest, caller: Caller, send: Send) -> None:
        self.request = request
        self.length = head.length or 0
        """Of the body, in bytes."""
        self._head = head
        self._app = app
        self._caller = caller
        self._context: Context = app.ctx.gateway
        self._send = send
        self._visit = UNLIMITED

    @property
    def sender(self) -> str | None:
        """The device that asks, if it is one."""
        return self._caller.principal.device

    def may_wait(self) -> bool:
        """Return whether the rest of the body may be awaited: nothing that is known now speaks against serving it."""
        context = self._context
        return context.intake.is_open and context.bodies.has_room(self.length) and self._may_enter()

    def is_still_known(self) -> bool:
        """Whether its credential means the same as when the head came: it may have been revoked since."""
        return self._context.authenticator.still(self.request.authorization, self._caller.principal) is True

    def begin(self, body: bytes) -> "asyncio.Future[Any] | None":
        """Return what the answer waits for, if the request can be served at once; else None.

        Cancelling it says that nobody wants the answer any more; then, and only then, `send` is not called.
        """
        if self._context.draining or not self._may_enter():
            return None
        return self._post(body) if self.request.is_post else self._ask()

    def _may_enter(self) -> bool:
        """Find out who pays for it; False if a limit is used up. Counts nothing yet."""
        limits, request = self._context.limits, self.request
        if limits is None:
            return True
        principal, peer = self._caller
        size = self.length if request.is_post else None
        visit = limits.look(principal, peer, request.forwarding, size=size)
        self._visit = visit or UNLIMITED
        return visit is not None

    def _post(self, body: bytes) -> "asyncio.Future[Any] | None":
        """Take readings in."""
        device = self.request.device
        pending = self._context.intake.at_once(body, principal=self._caller.principal, device=device)
        if pending is None:
            return None
        self._count(pending)
        self._context.bodies.inflight_bytes += self.length
        pending.ticket.add_done_callback(lambda ticket: self._committed(ticket, pending))
        return pending.ticket

    def _ask(self) -> "asyncio.Future[Any]":
        """Ask for the state of a device."""
        self._count(None)
        future = self._context.live.soon(str(self.request.device))
        future.add_done_callback(self._read)
        return future

    def _count(self, pending: HttpPending | None) -> None:
        limits = self._context.limits
        if limits is not None:
            limits.enter(self._visit, None if pending is None else pending.readings)

    def _committed(self, ticket: "asyncio.Future[Any]", pending: HttpPending) -> None:
        self._context.bodies.inflight_bytes -= self.length
        label = READINGS if self.request.device is None else DEVICE_READINGS
        if ticket.cancelled():
            pending.abandon()
            http_events.gone(label)
            return
        try:
            receipt = pending.receipt()
        except Exception as exc:  # noqa: BLE001 - whatever it is, `problems` says it
            self._fail(exc)
        else:
            self._answer(label, to_json(receipt), status=receipt.status)

    def _read(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            http_events.gone(STATE)
            return
        device, tag = str(self.request.device), self.request.if_none_match
        now_us = self._context.clock.now_us()
        try:
            answer = to_answer(device, future.result(), None, () if tag is None else (tag,), now_us=now_us)
        except Exception as exc:  # noqa: BLE001 - as above
            self._fail(exc)
        else:
            self._answer(STATE, answer.body, status=answer.status, headers=answer.headers)

    def _answer(self, label: str, body: bytes, *, status: int, headers: Mapping[str, str] | None = None) -> None:
        said = {"x-request-id": self._context.request_ids.choose(self.request.request_id)}
        if headers:
            said |= headers
        limits = self._context.limits
        if limits is not None:
            said |= limits.tell(self._visit)
        events.http_answered(label, status)
        self._give(body, status, said)

    def _fail(self, exc: Exception) -> None:
        """Answer with the problem that Sanic's way would answer with."""
        request = to_request(self._head, self._app)
        request.began = None  # the connection tells it
        request.ctx.visit = self._visit
        request.route, _, _ = self._app.router.get(request.path, request.method, None)
        answer = self._app.error_handler.response(request, exc)  # type: ignore[no-untyped-call]
        self._give(answer.body, answer.status, dict(answer.headers.items()), content_type=str(answer.content_type))

    def _give(self, body: bytes, status: int, headers: Mapping[str, str], *, content_type: str = JSON) -> None:
        keep_alive = not self._context.draining
        answer = to_bytes(body, status=status, headers=headers, content_type=content_type, keep_alive=keep_alive)
        self._send(answer, keep_alive=keep_alive)
