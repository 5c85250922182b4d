"""A WebSocket (RFC 6455) on a connection of the server's: whole text messages in and out, every buffer bounded.

The protocol itself is the `websockets` package's, without I/O. Sanic's own socket is not used: text that is not UTF-8
ends its reading without a word, and what waits in it has no bound in time. What arrives is given to the protocol in
slices, as far as the connection's turn and the rate of frames go; the rest waits, and nothing more is read meanwhile.
"""

import asyncio
import logging
from typing import Any, Protocol

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.core.errors import BadRequest, UpgradeRequired
from gateway.web.http.call import Call
from gateway.web.http.dispatch import offered_subprotocols
from gateway.web.limits.connection_budget import FRAME_US, ConnectionBudget

MAX_MESSAGE = 64 * 1024
"""Bytes of one message from the other side; a larger one ends the connection (1009)."""
MAX_FRAGMENTS = 256
"""Frames of one message from the other side; more end the connection (1009), as empty ones have no size."""
MAX_WAITING = 16
"""Messages read ahead; then the connection is not read."""
FRAMES_AT_ONCE, FRAMES_PER_SEC = 1000, 200
"""Frames that are read as fast as they come, and how fast those are read that come on top; pings are frames."""
SLICE_BYTES = 512
"""What the protocol is given at once: some 80 of the smallest frames."""
CLOSE_SECS = 2.0
"""How long what was written last may take to leave."""
SUBPROTOCOL = "gateway.v1"
VERSION = "13"
SWITCHING, NOT_UTF8, TOO_BIG, NORMAL, AWAY = 101, 1007, 1009, 1000, 1001
_SILENT = logging.getLogger("gateway.websocket")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False  # what a client does wrong is its own affair; our events say what matters


class SocketLink(Protocol):
    """A connection of the server's that will be a WebSocket's."""

    @property
    def budget(self) -> ConnectionBudget:
        """Its turn."""
        ...

    @property
    def transport(self) -> asyncio.Transport:
        """What writes."""
        ...

    def attach(self, socket: "SocketWire") -> bytes:
        """Give what arrives, and its end, to the socket from now on; return what came before."""
        ...

    async def send(self, data: bytes) -> None:
        """Return when the connection has room. Raises Gone."""
        ...


class SocketWire:
    """One connection, from the handshake on."""

    def __init__(self, call: Call[Any, Any]) -> None:
        """Check the handshake; nothing is sent yet. Raises UpgradeRequired, BadRequest."""
        link: SocketLink | None = call.link
        if (call.header("upgrade") or "").lower() != "websocket" or link is None:
            raise UpgradeRequired
        _check_version(call)
        wants = SUBPROTOCOL in offered_subprotocols(call.headers)
        self.ws_proto = ServerProtocol(
            state=State.OPEN,
            max_size=MAX_MESSAGE,
            subprotocols=[Subprotocol(SUBPROTOCOL)] if wants else None,
            logger=_SILENT,
        )
        """Under the name by which Sanic looks at its state when it stops."""
        self.loop = asyncio.get_running_loop()
        self._answer = _accept(self.ws_proto, call)
        self._link = link
        self._transport = link.transport
        self._arrived = bytearray()
        """What the protocol has not been given."""
        self._parts: list[bytes] = []
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()
        self._pinged: float | None = None
        self._paid_until = 0.0
        """When the frames that were read would all have come, had they come at FRAMES_PER_SEC."""
        self._is_resting = False
        """It has had its turn, or as many frames as it may send for now."""
        self._is_sending = False
        """Some of a message is written: nothing may come between."""
        self._ending: asyncio.TimerHandle | None = None
        """Nothing more is said, and so long is left for the last word to be heard."""

    async def open(self, request_id: str) -> None:
        """Send the handshake; from now on the connection is ours, with what came before its time (RFC 6455 4.1)."""
        self._answer.headers["X-Request-Id"] = request_id
        self._arrived += self._link.attach(self)
        await self._send(self._answer.serialize())

    async def receive(self) -> str | None:
        """Return the next message; None when there are no more."""
        message = await self._messages.get()
        if self._messages.empty():
            self._go_on()
        return message

    async def send(self, text: bytes) -> None:
        """Send one message; returns when the connection has room. Raises Gone."""
        if self.ws_proto.state is not State.OPEN:
            return
        self.ws_proto.send_text(text)
        await self._send(b"".join(self.ws_proto.data_to_send()))

    async def _send(self, data: bytes) -> None:
        """Send with nothing between; then read on."""
        self._is_sending = True
        try:
            await self._link.send(data)
        finally:
            self._is_sending = False
        self._go_on()

    def ping(self) -> None:
        """Ask the other side for a sign of life; not while it takes a message."""
        if self.ws_proto.state is State.OPEN and not self._is_sending:
            self.ws_proto.send_ping(b"")
            self._flush()
            self._pinged = self._pinged or self.loop.time()

    def silent_secs(self) -> float:
        """Return how long the other side has been asked in vain."""
        return 0.0 if self._pinged is None else self.loop.time() - self._pinged

    def end_connection(self, code: int = NORMAL, reason: str = "") -> None:
        """Say why, and close; Sanic calls it when the handler has returned."""
        if self._is_sending:  # half a message is no place for a word
            self._transport.abort()
            return
        if self.ws_proto.state is State.OPEN:
            self.ws_proto.send_close(code, reason)
        self._flush()
        self._hang_up()

    def fail_connection(self, code: int = AWAY) -> None:
        """Close without waiting; Sanic calls it when time is over."""
        self.end_connection(code)
        self._transport.abort()

    async def close(self, code: int = NORMAL) -> None:
        """As `end_connection`; Sanic calls it when it stops."""
        self.end_connection(code)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; Sanic calls it."""
        self._pinged = None
        if self.ws_proto.state is State.OPEN:
            self._link.budget.begin_turn()
            self._arrived += data
            self._go_on()

    def resume_writing(self) -> None:
        """Read on: what was written is taken. The connection calls it."""
        self._go_on()

    def eof_received(self) -> bool:
        """Note that nothing more arrives; False: close. Sanic calls it."""
        self._messages.put_nowait(None)
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """Note that the connection is gone; Sanic calls it."""
        self._messages.put_nowait(None)
        self._arrived.clear()
        if self._ending is not None:
            self._ending.cancel()
        self.ws_proto.parser.close()  # it and its protocol would keep each other for the collector

    def _go_on(self) -> None:
        """Give the protocol what has arrived, unless something must happen first: that will call this again."""
        while self.ws_proto.state is State.OPEN:
            if self._must_wait():
                self._transport.pause_reading()
                return
            if not self._arrived:
                self._transport.resume_reading()
                return
            self._take_slice()

    def _must_wait(self) -> bool:
        return (
            self._is_resting
            or self._is_sending
            or self._messages.qsize() >= MAX_WAITING
            or self._transport.get_write_buffer_size() > 0
        )

    def _take_slice(self) -> None:
        self.ws_proto.receive_data(self._arrived[:SLICE_BYTES])
        del self._arrived[:SLICE_BYTES]
        frames = [event for event in self.ws_proto.events_received() if isinstance(event, Frame)]
        for frame in frames:
            if not self._take_frame(frame):
                break
        self._flush()
        if self.ws_proto.state is not State.OPEN:
            self._messages.put_nowait(None)
            self._hang_up()
        else:
            self._pay(len(frames))

    def _pay(self, frames: int) -> None:
        """Count frames, and rest if they are more than this turn's share, or come too fast."""
        now = self.loop.time()
        self._paid_until = max(self._paid_until, now) + frames / FRAMES_PER_SEC
        early_secs = self._paid_until - now - FRAMES_AT_ONCE / FRAMES_PER_SEC
        has_more = self._link.budget.spend(FRAME_US * (1 + frames))
        if early_secs > 0:
            self._is_resting = True
            self.loop.call_later(early_secs, self._rested)
        elif not has_more:
            self._is_resting = True
            self._link.budget.later().add_done_callback(self._rested)

    def _rested(self, _: object = None) -> None:
        self._is_resting = False
        self._go_on()

    def _take_frame(self, frame: Frame) -> bool:
        """Take a frame of a message; False if it may not be, and the connection is failed."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return True
        self._parts.append(bytes(frame.data))
        if len(self._parts) > MAX_FRAGMENTS:
            self.ws_proto.fail(TOO_BIG, f"more than {MAX_FRAGMENTS} frames in one message")
            return False
        if frame.fin:
            message, self._parts = b"".join(self._parts), []
            try:
                self._messages.put_nowait(message.decode())
            except UnicodeDecodeError:
                self.ws_proto.fail(NOT_UTF8, "text that is not UTF-8")
                return False
        return True

    def _flush(self) -> None:
        """Write what the protocol has to say by itself: pongs, pings, the closing handshake."""
        data = b"".join(self.ws_proto.data_to_send())
        if data and self._ending is None and not self._transport.is_closing():
            self._transport.write(data)

    def _hang_up(self) -> None:
        """Say nothing more, and drop what still comes for a while, so that the last word is not lost in a reset."""
        self._arrived.clear()
        if self._ending is None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._transport.write_eof()
            self._ending = self.loop.call_later(CLOSE_SECS, self._transport.abort)


def _check_version(call: Call[Any, Any]) -> None:
    """Raise UpgradeRequired for another version than ours: the answer names it (RFC 6455 4.4)."""
    asked = ", ".join(call.headers.getall("sec-websocket-version", []))
    if asked != VERSION:
        words = f"not {asked!a}" if asked else "and there is no Sec-WebSocket-Version"
        raise UpgradeRequired(
            f"this gateway speaks version {VERSION} of WebSocket (RFC 6455), {words}; "
            "use a client that speaks it, or GET /v1/stream"
        )


def _accept(protocol: ServerProtocol, call: Call[Any, Any]) -> Response:
    headers = Headers([(name, value) for name, value in call.headers.items() if value.isascii()])
    answer = protocol.accept(Handshake(path=call.url.decode(), headers=headers))
    if answer.status_code != SWITCHING:
        words = bytes(answer.body).decode(errors="replace").partition("\n")[0]
        raise BadRequest(words, parameter="Sec-WebSocket-*")
    return answer
