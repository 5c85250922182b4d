"""The protocol of one connection: bytes in, answers out. Direct requests are served on the spot, all else is Sanic's.

A request begins when Sanic waits for one and nothing of it has come. While the rest of a direct one's body is missing,
what is here lies in Sanic's buffer, and Sanic is not told; in any doubt it is, and goes on from the same bytes and the
head that is read already. Until a direct request is answered, what else comes is kept; then Sanic goes on with that. So
the order of answers is the order of requests (RFC 9112 9.3.2), whoever serves.
"""

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Any

from sanic.http import Stage

from gateway.core.errors import GatewayError
from gateway.telemetry import events
from gateway.telemetry.http_events import INGEST, STATE, took
from gateway.web.limits.connections import STANDING_SECS, Seat, is_probe
from gateway.web.limits.unread_answers import PIECE_BYTES
from gateway.web.server.accept import take_waiting
from gateway.web.server.fast_path import Exchange, open_exchange
from gateway.web.server.head import HeadParser
from gateway.web.server.paced import PacedConnection


class Connection(PacedConnection):
    """One HTTP connection, or a WebSocket that began as one."""

    __slots__ = (
        "_accept_more", "_began", "_exchange", "_held_back", "_is_standing", "_missing", "_peer", "_pending", "_seat",
        "_stands_until",
    )  # fmt: skip

    def __init__(self, *, more: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._accept_more = partial(type(self), more=False, **kwargs) if more else None
        self._peer = ""
        """The address of who is at the other end."""
        self._seat: Seat | None = None
        self._is_standing = False
        """Whether there was no seat for it, and it has not said yet that it is a probe."""
        self._stands_until: float | None = None
        self._exchange: Exchange | None = None
        """The direct request that is held until its body is whole, or that is answered now."""
        self._missing = 0
        """Bytes without which a direct request is not whole; 0 if none is waited for."""
        self._pending: asyncio.Future[Any] | None = None
        """What the answer to a direct request waits for."""
        self._held_back: asyncio.Future[None] | None = None
        """What the answer to a stranger waits for that is refused, and is not to come back too soon."""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless too many have, and take in those who wait behind this one."""
        super().connection_made(transport)
        events.http_connected(len(self.connections))
        if self.conn_info is not None:
            self._peer = self.conn_info.client_ip
        self._seat = self.context.connection_limit.enter(self, self._peer)
        if self._seat.limit:
            self._is_standing = True
            self._stands_until = time.monotonic() + STANDING_SECS
        if self._accept_more is not None:
            take_waiting(self.loop, self.app.ctx.listening, self._accept_more, share=self.context.http.workers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        self._leave()
        if self._missing:
            self._release()
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None  # what it ended with knows us
        super().connection_lost(exc)
        events.http_connected(len(self.connections))

    def know(self, device: str | None) -> None:
        """Keep the seat: a valid credential came, perhaps of a device."""
        if not self.budget.is_known and self._seat is not None:
            self._seat = self.context.connection_limit.know(self, self._seat, device)
        super().know(device)

    async def hold_back(self, secs: float) -> None:
        """Let a refusal wait for so long, or until the seat is wanted."""
        self._held_back = self.loop.create_future()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(secs):
                    await self._held_back
        finally:
            self._held_back = None

    def data_received(self, data: bytes) -> None:
        """Serve a direct request, keep what comes before its answer, leave the rest to Sanic."""
        if self._pending is not None:
            self._keep(data)
        elif self._missing:
            self._add(data)
        elif self._is_standing:
            self._serve_probe(data)
        elif (heads := self.idle_heads()) is None or not self._begin(heads, data):
            super().data_received(data)

    def _begin(self, heads: HeadParser, data: bytes) -> bool:
        head = heads.peek(data)
        if head is None:
            return False
        missing = len(head.raw) + (head.length or 0) - len(data)
        exchange = open_exchange(self.app, head, self._peer, self._answer) if missing >= 0 else None
        if exchange is None:
            return False
        if missing:
            return self._hold(exchange, data, missing)
        return self._serve(exchange, data[len(head.raw) :])

    def _serve(self, exchange: Exchange, body: bytes) -> bool:
        is_post = exchange.request.is_post
        if is_post and not self.budget.take_turn(len(body)):
            return False
        pending = exchange.begin(body)
        if pending is None:
            return False
        self._exchange, self._pending = exchange, pending
        if not self.budget.is_known:
            self.know(exchange.sender)
        self._began = self.set_stage(Stage.HANDLER)
        return True

    def _hold(self, exchange: Exchange, data: bytes, missing: int) -> bool:
        """Keep the beginning of a request until the rest is here, unless that is too much, or somebody must be told."""
        if len(data) + missing >= self.app.config.REQUEST_BUFFER_SIZE:
            return False
        if not (exchange.may_wait() and self.budget.hold(self, len(data))):
            return False
        self._exchange, self._missing = exchange, missing
        self.set_stage(Stage.REQUEST)
        self.recv_buffer += data
        return True

    def _add(self, data: bytes) -> None:
        """Take in some more of a request that is held: it may be whole now, or more than that."""
        self.recv_buffer += data
        missing = self._missing - len(data)
        if missing > 0 and self.budget.hold(self, len(data)):
            self._missing = missing
            return
        exchange, whole = self._exchange, self._release()
        direct = None if missing or exchange is None or not exchange.is_still_known() else exchange
        if direct is None or not self._serve(direct, whole[len(whole) - direct.length :]):
            super().data_received(whole)

    def give_up(self) -> None:
        """Hand to Sanic what is held of a request: its rest takes too long."""
        super().data_received(self._release())

    def _release(self) -> bytes:
        """Hold nothing any more, and return what was held."""
        self.budget.release(self)
        self._exchange, self._missing = None, 0
        held = bytes(self.recv_buffer)
        self.recv_buffer.clear()
        self.set_stage(Stage.IDLE)
        return held

    def has_asked(self) -> bool:
        """Whether a request has come on it."""
        return bool(self._began) or super().has_asked()

    def look(self, now: float) -> None:
        """End what takes too long, or stands for too long."""
        super().look(now)
        if self._stands_until is not None and now > self._stands_until:
            if self._is_standing:
                self._refuse()
            if not self.is_being_served():
                self.hang_up()

    def refuse(self) -> None:
        """Close it, as others want to say what they want."""
        if self._is_standing:
            self._refuse()
        self.hang_up()

    def _refuse(self) -> None:
        """Say why it is not served; what comes after that is dropped, so that the answer is not lost in a reset."""
        self._is_standing = False
        if self._seat is not None:
            self.end(self.context.connection_limit.refusal(self._seat.limit))

    def yield_seat(self, limit: str) -> bool:
        """Make room for another, unless a request is being served."""
        if self._held_back is not None:
            self._tell_now(self._held_back)
            return True
        if self._pending is not None or self.is_being_served():
            return False
        self._leave()
        if self.recv_buffer:  # of a request
            self.end(self.context.connection_limit.refusal(limit))
        self.hang_up()
        return True

    def _tell_now(self, held_back: "asyncio.Future[None]") -> None:
        """Send the answer that is held back, and close without waiting for who still sends."""
        self._leave()
        if self.http is not None:
            self.http.keep_alive = False
        self._lingers_until = time.monotonic()
        if not held_back.done():
            held_back.set_result(None)

    def _leave(self) -> None:
        if self._seat is not None:
            self.context.connection_limit.leave(self, self._seat)
            self._seat = None

    def _serve_probe(self, data: bytes) -> None:
        if is_probe(data):
            self._is_standing = False
            super().data_received(data)
        else:
            self._refuse()

    def give_way(self, error: GatewayError) -> None:
        """Serve the request in hand no further; one that is about to be answered cannot be told why."""
        if self._pending is None:
            super().give_way(error)
        elif self.transport is not None:
            self.transport.abort()

    def _keep(self, data: bytes) -> None:
        self.recv_buffer += data
        if self.transport is not None and len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE:
            self.transport.pause_reading()  # until Sanic asks for more
        self.count_unread()

    def _answer(self, data: bytes, *, keep_alive: bool) -> None:
        if len(data) > PIECE_BYTES:
            self._pending = self.loop.create_task(self._answer_large(data, keep_alive=keep_alive), name="http.answer")
        elif self._conclude() and self.transport is not None:
            self.transport.write(data)
            self._go_on(keep_alive=keep_alive)

    async def _answer_large(self, data: bytes, *, keep_alive: bool) -> None:
        with self.holding(len(data)):
            await self.send(data)
        if self._conclude():
            self._go_on(keep_alive=keep_alive)

    def _conclude(self) -> bool:
        """Be idle again; False if there is nobody to answer."""
        exchange, self._exchange, self._pending = self._exchange, None, None
        now = self.set_stage(Stage.IDLE)
        took(INGEST if exchange is not None and exchange.request.is_post else STATE, now - self._began)
        return not (self.transport is None or self.transport.is_closing() or self.http is None)

    def _go_on(self, *, keep_alive: bool) -> None:
        if not keep_alive:
            self.close()
        elif self.recv_buffer:
            self.read_buffered()
