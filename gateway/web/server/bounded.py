"""A connection whose every wait and every byte that was not read yet has a bound, and that ends without a trace.

An answer that is the last one must be heard: what still comes of its request is dropped for a while before the
connection is closed, as bytes that nobody reads would reset it (RFC 9112 9.6).
"""

import asyncio
import time
from typing import Any, cast

from sanic.exceptions import ServiceUnavailable
from sanic.http import Stage

from gateway.core.errors import GatewayError
from gateway.telemetry import http_events
from gateway.web.context import Context
from gateway.web.http.problems import Problems
from gateway.web.limits.body_budget import INFLIGHT, no_room
from gateway.web.limits.connection_budget import ConnectionBudget
from gateway.web.limits.deadlines import HEAD_DEADLINE, KEEP_ALIVE, head_too_slow
from gateway.web.server.head import MAX_REMEMBERED
from gateway.web.server.sanic_http import Http1
from gateway.web.server.sanic_protocol import Http1Connection

LINGER_SECS = 5.0
"""How long the rest of a refused request is read and dropped."""
LINGER_BYTES = 16 * 2**20
"""How much of it."""


class BoundedConnection(Http1Connection):
    """One connection."""

    __slots__ = ("_dropped", "_lingers_until", "budget")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.budget: ConnectionBudget = self.context.budgets.of_connection()
        """What it may hold of what came, for how long, and its turn."""
        self._dropped = 0
        """Bytes that came and were not heard."""
        self._lingers_until: float | None = None
        """When it is closed, whatever still comes."""

    @property
    def context(self) -> Context:
        """The parts of this worker."""
        context: Context = self.app.ctx.gateway
        return context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with deadlines."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        self.context.deadlines.watch(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        self.budget.read_ahead(0)
        self.context.dropped.forget(self)
        self.let_go()

    def data_received(self, data: bytes) -> None:
        """Take what has come, if there is room for it."""
        if not self.is_deaf:
            super().data_received(data)  # type: ignore[no-untyped-call]
            self.count_unread()
            return
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self.hang_up()
        else:
            self.drop_read(len(data))

    def know(self, device: str | None) -> None:  # noqa: ARG002 - whose it is matters to who has a seat
        """Note that a valid credential came, perhaps of a device."""
        self.budget.know()

    def has_asked(self) -> bool:
        """Whether a request has come on it."""
        return bool(self.state["requests_count"])

    def is_being_served(self) -> bool:
        """Whether a request has come that is not answered yet."""
        return self.http is not None and self.http.stage not in (Stage.IDLE, Stage.REQUEST)

    def look(self, now: float) -> None:
        """End what takes too long; `now` is the monotonic time."""
        if self._lingers_until is not None:
            if now > self._lingers_until:
                self.close()
        elif self.http is not None:
            self._look(self.http, now)

    def _look(self, http: Http1, now: float) -> None:
        limits = self.context.http
        if http.stage is Stage.IDLE:
            secs, why = (
                (limits.keep_alive_secs, KEEP_ALIVE) if self.has_asked() else (limits.head_deadline_secs, HEAD_DEADLINE)
            )
            if now - (self.last_active if http.idle_since is None else http.idle_since) > secs:
                http_events.cut_off(why)
                self.close()
        elif http.stage is Stage.REQUEST:
            if http.began is not None and now - http.began > limits.head_deadline_secs:
                http_events.cut_off(HEAD_DEADLINE)
                self.stop_serving(head_too_slow(limits.head_deadline_secs))
        elif not http.upgrade_websocket and now - self.last_active > self.response_timeout:
            self.stop_serving(ServiceUnavailable("Response Timeout"))

    def count_unread(self) -> None:
        """Count what waits in the buffer; if there is no room for it, say so and close."""
        size = len(self.recv_buffer)
        if self.budget.read_ahead(size) or (self._shows_known_credential() and self.budget.read_ahead(size)):
            return
        http_events.cut_off(INFLIGHT)
        error = no_room(self.context.http)
        if self.is_being_served():
            self.give_way(error)
        else:
            self.end(error)

    def give_way(self, error: GatewayError) -> None:
        """Serve the request in hand no further."""
        self.hear_no_more()
        self.stop_serving(error)

    def _shows_known_credential(self) -> bool:
        """Whether a stranger proves to be none by the head that has come, as far as can be told without asking."""
        if self.budget.is_known or self.http is None or self.is_being_served():
            return False
        head = self.http.heads.peek(bytes(self.recv_buffer[:MAX_REMEMBERED]))
        credential = None if head is None else dict(head.fields).get(b"authorization")
        principal = None if credential is None else self.context.authenticator.principal(credential.decode("latin-1"))
        if principal is None:
            return False
        self.know(principal.device)
        return True

    def hear_no_more(self) -> None:
        """Drop what comes from now on: the answer that is written next is the last."""
        self.is_deaf = True
        size = len(self.recv_buffer)
        self.recv_buffer.clear()
        self.budget.read_ahead(0)
        self.drop_read(size)

    def drop_more(self) -> None:
        """Read on, though nobody hears it."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def drop_read(self, size: int) -> None:
        """Count what was dropped; read on if all that are refused have not sent too much together."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.context.dropped.drop(self, size):
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def end(self, exc: GatewayError) -> None:
        """Say why, while no answer is due, and close."""
        if self.is_deaf or self.transport is None or self.transport.is_closing():
            return
        self.hear_no_more()
        problems = cast("Problems", self.app.error_handler)
        self.transport.write(problems.unasked(self.context, exc))
        self.close()

    def hang_up(self) -> None:
        """Close it without waiting for who still sends."""
        if self._lingers_until is None:
            self._lingers_until = time.monotonic()
        self.close()

    def close(self, timeout: float | None = None) -> None:
        """Close it; where more may come of a request that was refused, not before the other side has heard."""
        transport = self.transport
        if self.is_deaf and self._lingers_until is None and transport is not None and not transport.is_closing():
            self._lingers_until = time.monotonic() + LINGER_SECS
            transport.write_eof()
            return
        super().close(timeout)
        self.let_go()
